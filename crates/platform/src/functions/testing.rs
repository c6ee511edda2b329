//! What the tests of this folder share: packages, and an executor that runs nothing.

use std::{
    cell::Cell,
    collections::HashMap,
    io::{Cursor, Write},
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use zip::{ZipWriter, write::SimpleFileOptions};

use super::{
    DeployError, DeployFault, Executor,
    execution::{
        Definition, FunctionKey, Invocation, InvokeError, Outcome, Provisioned, VersionId,
        VersionKey,
    },
};

thread_local! {
    static DRAWN: Cell<Option<u64>> = const { Cell::new(None) };
}

/// From here on what this thread draws between an alias's versions comes from `seed`, if there is one.
pub fn seed_aliases(seed: Option<u64>) {
    DRAWN.set(seed);
}

/// From 0 up to 1, if that is to come from a seed.
pub fn drawn() -> Option<f64> {
    // A linear congruential generator; its upper bits are good enough.
    let next = DRAWN
        .get()?
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    DRAWN.set(Some(next));
    Some((next >> 33) as f64 / (1_u64 << 31) as f64)
}

/// An executor for which everything is deployed, and of which only the answers matter.
#[async_trait]
pub trait Answers: Send + Sync + 'static {
    async fn answer(&self, key: &VersionKey, asked: Invocation) -> Result<Outcome, InvokeError>;
}

#[async_trait]
impl<T: Answers> Executor for T {
    async fn deploy(&self, _: Definition) -> Result<(), DeployError> {
        Ok(())
    }

    fn remove(&self, _: &FunctionKey) {}

    fn remove_version(&self, _: &VersionKey) {}

    fn provision(&self, _: &FunctionKey, _: &HashMap<VersionId, u32>) {}

    fn provisioned(&self, _: &VersionKey) -> Provisioned {
        Provisioned::default()
    }

    fn set_reserved_concurrency(&self, _: &FunctionKey, _: Option<u32>) {}

    async fn invoke(&self, key: &VersionKey, asked: Invocation) -> Result<Outcome, InvokeError> {
        self.answer(key, asked).await
    }
}

pub fn zip_of(files: &[(&str, &[u8])]) -> Bytes {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        writer
            .start_file(*name, SimpleFileOptions::default())
            .unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner().into()
}

/// Answers with what it was sent, and can be told to wait or to fail.
pub struct FakeExecutor {
    pub deployed: Mutex<HashMap<VersionKey, Definition>>,
    pub reserved: Mutex<HashMap<FunctionKey, u32>>,
    pub provisioned: Mutex<HashMap<FunctionKey, HashMap<VersionId, u32>>>,
    /// Deployments go on while this is true.
    pub open: watch::Sender<bool>,
    pub fail: Mutex<Option<String>>,
    pub last: Mutex<Option<Invocation>>,
}

impl Default for FakeExecutor {
    fn default() -> Self {
        Self {
            deployed: Mutex::default(),
            reserved: Mutex::default(),
            provisioned: Mutex::default(),
            open: watch::channel(true).0,
            fail: Mutex::default(),
            last: Mutex::default(),
        }
    }
}

impl FakeExecutor {
    pub fn definition(&self, name: &str) -> Option<Definition> {
        let deployed = self.deployed.lock().unwrap_or_else(PoisonError::into_inner);
        deployed
            .values()
            .find(|held| held.key.name == name && held.version.is_latest())
            .cloned()
    }

    pub fn version(&self, name: &str, number: &str) -> Option<Definition> {
        let deployed = self.deployed.lock().unwrap_or_else(PoisonError::into_inner);
        deployed
            .values()
            .find(|held| held.key.name == name && &*held.version == number)
            .cloned()
    }
}

#[async_trait]
impl Executor for FakeExecutor {
    async fn deploy(&self, definition: Definition) -> Result<(), DeployError> {
        let mut open = self.open.subscribe();
        let _ = open.wait_for(|open| *open).await;
        if let Some(why) = self.fail.lock().unwrap().clone() {
            return Err(DeployError(why, DeployFault::Configuration));
        }
        let mut deployed = self.deployed.lock().unwrap();
        let key = VersionKey {
            function: definition.key.clone(),
            version: definition.version.clone(),
        };
        deployed.insert(key, definition);
        Ok(())
    }

    fn remove(&self, key: &FunctionKey) {
        let mut deployed = self.deployed.lock().unwrap();
        deployed.retain(|held, _| held.function != *key);
    }

    fn remove_version(&self, key: &VersionKey) {
        self.deployed.lock().unwrap().remove(key);
    }

    fn set_reserved_concurrency(&self, key: &FunctionKey, reserved: Option<u32>) {
        let mut all = self.reserved.lock().unwrap();
        match reserved {
            Some(reserved) => all.insert(key.clone(), reserved),
            None => all.remove(key),
        };
    }

    fn provision(&self, key: &FunctionKey, targets: &HashMap<VersionId, u32>) {
        let mut all = self.provisioned.lock().unwrap();
        all.insert(key.clone(), targets.clone());
    }

    fn provisioned(&self, key: &VersionKey) -> Provisioned {
        let all = self.provisioned.lock().unwrap();
        let deployed = self.deployed.lock().unwrap().contains_key(key);
        let target = all.get(&key.function).and_then(|all| all.get(&key.version));
        let allocated = target.filter(|_| deployed).copied().unwrap_or(0);
        Provisioned {
            allocated,
            available: allocated,
            failure: None,
        }
    }

    async fn invoke(
        &self,
        key: &VersionKey,
        invocation: Invocation,
    ) -> Result<Outcome, InvokeError> {
        if !self.deployed.lock().unwrap().contains_key(key) {
            return Err(InvokeError::NotDeployed);
        }
        *self.last.lock().unwrap() = Some(invocation.clone());
        Ok(Outcome {
            payload: invocation.payload,
            error: None,
            executed_version: key.version.clone(),
            log_tail: invocation.log_tail.then(|| b"the log".to_vec()),
            trace_id: String::new(),
        })
    }
}
