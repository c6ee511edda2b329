//! The API from create to delete, on a real store, with an executor that runs nothing.

mod access;
mod aliases;
mod governance;
mod layers;
mod life;
mod provisioned;
mod refusals;
mod versions;

use std::{
    path::Path,
    sync::{Arc, LazyLock},
    time::Duration,
};

use bytes::Bytes;
use store::{BlobStore, Store, StoreConfig};
use tempfile::TempDir;
use wire::{
    Context, Timestamp,
    lambda::{self as api, Lambda},
};

use super::{
    Functions, FunctionsConfig, images,
    runtimes::Runtimes,
    testing::{FakeExecutor, zip_of},
};

const ACCOUNT: &str = "111111111111";

struct World {
    dir: TempDir,
    functions: Functions,
    executor: Arc<FakeExecutor>,
    store: Store,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (functions, executor, store) = open(dir.path()).await;
        Self {
            dir,
            functions,
            executor,
            store,
        }
    }

    /// As after a crash: another process on the same data.
    async fn again(self) -> Self {
        self.store.close().await;
        let (functions, executor, store) = open(self.dir.path()).await;
        Self {
            dir: self.dir,
            functions,
            executor,
            store,
        }
    }

    async fn create(&self, name: &str) -> api::FunctionConfiguration {
        let made = self.functions.create_function(cx(), request(name)).await;
        made.unwrap()
    }

    /// Made and active.
    async fn active(&self, name: &str) -> api::FunctionConfiguration {
        self.create(name).await;
        self.settled(name).await
    }

    async fn configuration(&self, name: &str) -> api::FunctionConfiguration {
        let input = api::GetFunctionConfigurationRequest {
            function_name: name.into(),
            qualifier: None,
        };
        let got = self.functions.get_function_configuration(cx(), input);
        got.await.unwrap()
    }

    /// What boto3's waiters do, in a hurry.
    async fn settled(&self, name: &str) -> api::FunctionConfiguration {
        let waiting = async {
            loop {
                let found = self.configuration(name).await;
                let pending = found.state.as_deref() == Some("Pending");
                if !pending && found.last_update_status.as_deref() != Some("InProgress") {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), waiting);
        waited.await.expect("it settles")
    }

    async fn invoke(&self, name: &str, payload: &'static [u8]) -> Result<Bytes, wire::Error> {
        let input = api::InvocationRequest {
            function_name: name.into(),
            payload: Some(Bytes::from_static(payload)),
            ..Default::default()
        };
        let answer = self.functions.invoke(cx(), input).await?;
        assert_eq!(answer.status_code, Some(200));
        Ok(answer.payload.unwrap())
    }
}

async fn open(dir: &Path) -> (Functions, Arc<FakeExecutor>, Store) {
    let store = StoreConfig::new(dir.join("store").to_str().unwrap());
    std::fs::create_dir_all(dir.join("store")).unwrap();
    let migrations = crate::platform::migrations();
    let store = Store::open(store, &migrations).await.unwrap();
    let executor = Arc::new(FakeExecutor::default());
    let functions = Functions::open(FunctionsConfig {
        data_dir: dir.to_owned(),
        secrets: Arc::new(crate::secrets::Secrets::open(&dir.join("functions.key")).unwrap()),
        store: store.clone(),
        blobs: BlobStore::open(dir.join("blobs")).await.unwrap(),
        executor: executor.clone(),
        runtimes: Runtimes::of(&[]),
        base_url: "http://127.0.0.1:4566".into(),
        account_concurrency: 1000,
        images: images::ImagesConfig {
            directory: dir.join("allowed").canonicalize().ok(),
            ..Default::default()
        },
    });
    (functions.await.unwrap(), executor, store)
}

fn cx() -> &'static Context {
    static CX: LazyLock<Context> = LazyLock::new(|| Context {
        request_id: "r".into(),
        account_id: ACCOUNT.into(),
        region: "us-east-1".into(),
        role: None,
        access_key_id: String::new(),
        host: "localhost:4566".into(),
        origin: wire::Origin::default(),
        trace_header: None,
        now: Timestamp::new(1_700_000_000, 0).unwrap(),
    });
    &CX
}

fn request(name: &str) -> api::CreateFunctionRequest {
    api::CreateFunctionRequest {
        function_name: name.into(),
        runtime: Some("provided.al2023".into()),
        handler: Some("bootstrap".into()),
        role: "arn:aws:iam::111111111111:role/r".into(),
        code: api::FunctionCode {
            zip_file: Some(zip_of(&[("bootstrap", b"#!/bin/sh\n")])),
            ..Default::default()
        },
        ..Default::default()
    }
}

fn update(name: &str) -> api::UpdateFunctionConfigurationRequest {
    api::UpdateFunctionConfigurationRequest {
        function_name: name.into(),
        ..Default::default()
    }
}

fn arn(name: &str) -> String {
    format!("arn:aws:lambda:us-east-1:{ACCOUNT}:function:{name}")
}

fn environment(variables: &[(&str, &str)]) -> Option<api::Environment> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Some(api::Environment {
        variables: Some(variables.iter().map(owned).collect()),
    })
}

/// That an operation is refused so.
fn refused<T: std::fmt::Debug>(result: Result<T, wire::Error>, code: &str, message: &str) {
    let error = result.unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (code, message));
}
