//! Amazon SNS: topics, and who is subscribed to them.
//!
//! A publication is the deliveries to all subscriptions whose filters take it, stored in one
//! transaction (`publish.rs`, `fanout.rs`, and `crate::deliveries`, which does the rest). `api/` is
//! the only place that knows `wire`'s shapes. Topics and subscriptions are stored first and then held
//! in memory (`book.rs`), so that publishing reads no store.

mod access;
mod api;
mod attributes;
mod batch;
mod book;
mod confirm;
mod dedup;
mod delivery_policy;
mod endpoint;
mod envelope;
mod error;
mod fanout;
mod filter;
mod limits;
mod message;
mod name;
mod paging;
mod phones;
mod policy;
mod publish;
mod shown;
mod signing;
mod subscribe;
mod subscription_attributes;
mod tables;
mod tags;
mod target;
#[cfg(test)]
mod tests;
mod topic;

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use store::Store;

pub use signing::CERTIFICATE_PATH;
pub use tables::migrations;

use crate::{
    background::{Background, Wake},
    clock::Clock,
    deliveries::Deliveries,
    secrets::Secrets,
};
use book::{Book, Topic};
use error::{Error, Result};
use name::TopicKey;
use signing::Signers;

/// The topics of this platform; a cheap handle.
#[derive(Clone)]
pub struct Topics(Arc<Inner>);

struct Inner {
    store: Store,
    clock: Arc<Clock>,
    deliveries: Deliveries,
    signers: Signers,
    secrets: Arc<Secrets>,
    book: Book,
    base_url: String,
    /// The last SequenceNumber that was given.
    sequence: AtomicI64,
}

/// What topics need of the rest.
pub struct TopicsConfig {
    pub store: Store,
    pub secrets: Arc<Secrets>,
    pub clock: Arc<Clock>,
    pub deliveries: Deliveries,
    /// How clients reach the platform: links in messages begin so.
    pub base_url: String,
}

impl Topics {
    /// Reads what is stored.
    pub async fn open(config: TopicsConfig, background: &Background) -> store::Result<Self> {
        let TopicsConfig {
            store,
            secrets,
            clock,
            deliveries,
            base_url,
        } = config;
        let sealing = secrets.clone();
        let book = Book::load(&store, clock.now_ms()).await?;
        let topics = Self(Arc::new(Inner {
            signers: Signers::new(store.clone(), secrets),
            secrets: sealing,
            store,
            clock,
            deliveries,
            book,
            base_url: base_url.trim_end_matches('/').to_owned(),
            sequence: AtomicI64::new(0),
        }));
        let this = topics.clone();
        background.keep("topics", limits::TIDY_EVERY, Wake::default(), move || {
            let this = this.clone();
            async move { this.tidy().await }
        });
        Ok(topics)
    }

    /// The certificate that messages' signatures are verified with, by the end of its URL.
    pub async fn certificate(&self, file: &str) -> Option<String> {
        self.0.signers.certificate(file).await
    }

    /// Deduplication ids that are over go, and subscriptions that nobody confirmed.
    async fn tidy(&self) -> store::Result<()> {
        let now_ms = self.0.clock.now_ms();
        self.0
            .store
            .write(move |tx| dedup::tidy(tx, now_ms))
            .await?;
        self.drop_unconfirmed(now_ms).await
    }

    fn topic(&self, key: &TopicKey) -> Result<Arc<Topic>> {
        self.0.book.find(key).ok_or(Error::TOPIC)
    }

    /// Counts up through restarts: it goes with the time.
    fn next_sequence(&self) -> i64 {
        let now = self.0.clock.now_ms() << 20;
        let next = |last: i64| Some(now.max(last + 1));
        let last = self
            .0
            .sequence
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, next);
        // The closure gives something always.
        let last = last.unwrap_or_default();
        now.max(last + 1)
    }
}
