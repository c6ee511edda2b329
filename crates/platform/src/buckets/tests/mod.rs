//! The service in process, over a store of its own.

mod objects;
mod rules;
mod uploads;

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use store::{Store, StoreConfig};
use tempfile::TempDir;
use wire::{
    Context, Error, Origin,
    s3::{self, S3},
};

use super::{
    Buckets,
    front::{S3Streams, Upload},
};
use crate::{
    background::Background, body::Body, clock::Clock, deliveries::Deliveries, queues::Queues,
    secrets::Secrets,
};

pub const ACCOUNT: &str = "123456789012";
pub const BUCKET: &str = "things";

/// A platform's buckets, with a bucket.
pub struct World {
    pub buckets: Buckets,
    pub cx: Context,
    pub background: Background,
    _queues: Queues,
    pub store: Store,
    pub dir: TempDir,
}

impl World {
    pub async fn new() -> Self {
        let world = Self::on(tempfile::tempdir().expect("a directory")).await;
        let input = s3::CreateBucketRequest {
            bucket: BUCKET.to_owned(),
            ..Default::default()
        };
        let made = world.buckets.create_bucket(&world.cx, input).await;
        made.expect("it is made");
        world
    }

    /// With what is in a directory already.
    pub async fn on(dir: TempDir) -> Self {
        let path = dir.path().join("store");
        let config = StoreConfig::new(path.to_str().expect("a text"));
        let store = Store::open(config, &crate::platform::migrations()).await;
        let store = store.expect("it opens");
        let secrets = Secrets::open(&dir.path().join("key")).expect("it opens");
        let background = Background::default();
        let objects = dir.path().join("objects");
        let (secrets, clock) = (Arc::new(secrets), Arc::new(Clock::new()));
        let queues = Queues::open(store.clone(), secrets.clone(), clock, "http://localhost");
        let (queues, _) = queues.await.expect("they open");
        let deliveries = Deliveries::open(store.clone(), queues.clone());
        let open = Buckets::open(store.clone(), secrets, deliveries, &objects, &background);
        let buckets = open.await.expect("it opens");
        buckets.begin(&background);
        Self {
            buckets,
            cx: context(ACCOUNT),
            background,
            _queues: queues,
            store,
            dir,
        }
    }

    /// Ends it and begins again with what is stored.
    pub async fn restarted(self) -> Self {
        self.background.stop();
        self.store.close().await;
        Self::on(self.dir).await
    }

    pub async fn put(&self, key: &str, body: impl Into<Bytes>) -> s3::PutObjectOutput {
        self.try_put(key, body, |_| {}).await.expect("it is put")
    }

    pub async fn try_put(
        &self,
        key: &str,
        body: impl Into<Bytes>,
        with: impl FnOnce(&mut s3::PutObjectRequest),
    ) -> Result<s3::PutObjectOutput, Error> {
        let mut input = s3::PutObjectRequest {
            bucket: BUCKET.to_owned(),
            key: key.to_owned(),
            ..Default::default()
        };
        with(&mut input);
        let upload = Upload::of(body);
        self.buckets
            .put_object_stream(&self.cx, input, upload)
            .await
    }

    pub async fn get(&self, key: &str) -> Result<(s3::GetObjectOutput, Vec<u8>), Error> {
        self.try_get(key, |_| {}).await
    }

    pub async fn try_get(
        &self,
        key: &str,
        with: impl FnOnce(&mut s3::GetObjectRequest),
    ) -> Result<(s3::GetObjectOutput, Vec<u8>), Error> {
        let mut input = s3::GetObjectRequest {
            bucket: BUCKET.to_owned(),
            key: key.to_owned(),
            ..Default::default()
        };
        with(&mut input);
        let (output, body) = self.buckets.get_object_stream(&self.cx, input).await?;
        Ok((output, all(body).await))
    }

    pub async fn delete(&self, key: &str, version_id: Option<&str>) -> s3::DeleteObjectOutput {
        let input = s3::DeleteObjectRequest {
            bucket: BUCKET.to_owned(),
            key: key.to_owned(),
            version_id: version_id.map(str::to_owned),
            ..Default::default()
        };
        let deleted = self.buckets.delete_object(&self.cx, input).await;
        deleted.expect("it is deleted")
    }

    pub async fn keys(&self) -> Vec<String> {
        let input = s3::ListObjectsV2Request {
            bucket: BUCKET.to_owned(),
            ..Default::default()
        };
        let listed = self.buckets.list_objects_v2(&self.cx, input).await;
        let contents = listed.expect("it is listed").contents.unwrap_or_default();
        contents
            .into_iter()
            .filter_map(|object| object.key)
            .collect()
    }

    /// Files of objects on the disk.
    pub fn files(&self) -> usize {
        fn count(path: &std::path::Path) -> usize {
            let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
            entries
                .map(|entry| match entry.path().is_dir() {
                    true => count(&entry.path()),
                    false => 1,
                })
                .sum()
        }
        count(&self.dir.path().join("objects"))
    }
}

pub fn context(account_id: &str) -> Context {
    Context {
        request_id: "request".into(),
        account_id: account_id.into(),
        region: "us-east-1".into(),
        access_key_id: "key".into(),
        role: None,
        host: "localhost".into(),
        origin: Origin::default(),
        trace_header: None,
        now: Timestamp::now(),
    }
}

pub async fn all(body: Body) -> Vec<u8> {
    let mut pieces = match body {
        Body::Object(pieces) => pieces,
        Body::Whole(bytes) => return bytes.to_vec(),
        Body::Stream(_) => panic!("that is a function's"),
    };
    let mut all = Vec::new();
    while let Some(piece) = pieces.recv().await {
        all.extend_from_slice(&piece.expect("it is read"));
    }
    all
}

/// Bytes that are nowhere the same.
pub fn noise(len: usize) -> Vec<u8> {
    (0..len as u64)
        .map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        .collect()
}

pub fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> &'static str {
    result.expect_err("it is refused").code
}
