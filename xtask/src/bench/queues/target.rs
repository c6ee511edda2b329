//! What is measured: the platform on each of its engines, or a peer, as a process of its own on
//! loopback in a folder of its own.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use http::Method;
use serde_json::{Value, json};

use super::{
    super::{load, measures::resident_mb, platform::Platform, request::Template},
    Bench,
    client::{Client, Queue},
    peers::{self, Peer},
};
use crate::postgres::Postgres;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
    Peer(Peer),
}

impl Kind {
    pub const ALL: [Kind; 4] = [
        Kind::Sqlite,
        Kind::Postgres,
        Kind::Peer(Peer::MiniStack),
        Kind::Peer(Peer::LocalStack),
    ];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Sqlite => "Lambent, SQLite",
            Kind::Postgres => "Lambent, PostgreSQL",
            Kind::Peer(peer) => peer.name(),
        }
    }

    /// As the command line has it.
    pub fn short_name(self) -> &'static str {
        match self {
            Kind::Sqlite => "sqlite",
            Kind::Postgres => "postgres",
            Kind::Peer(peer) => peer.folder(),
        }
    }

    pub fn is_ours(self) -> bool {
        !matches!(self, Kind::Peer(_))
    }
}

/// What runs, and ends when this is dropped.
enum Process {
    Ours(Platform),
    Peer(peers::Running),
}

pub struct Target {
    pub kind: Kind,
    pub address: SocketAddr,
    process: Process,
    /// Where messages are kept, if in PostgreSQL. Dropped after the process.
    postgres: Option<Postgres>,
    queues: u32,
}

impl Target {
    pub fn start(bench: &Bench, kind: Kind) -> Result<Self> {
        let postgres = match kind {
            Kind::Postgres => Some(Postgres::durable()?),
            Kind::Sqlite | Kind::Peer(_) => None,
        };
        let process = match kind {
            Kind::Peer(peer) => Process::Peer(peers::Running::start(peer)?),
            Kind::Sqlite | Kind::Postgres => {
                let store = postgres.as_ref().map(|postgres| postgres.url.as_str());
                let options: Vec<_> = store.into_iter().flat_map(|url| ["--store", url]).collect();
                Process::Ours(Platform::start_open(&bench.binary, &options)?)
            }
        };
        let address = match &process {
            Process::Ours(platform) => platform.address,
            Process::Peer(peer) => peer.address,
        };
        Ok(Target {
            kind,
            address,
            process,
            postgres,
            queues: 0,
        })
    }

    /// A new queue.
    pub async fn create_next(&mut self) -> Result<Queue> {
        self.queues += 1;
        self.create(&format!("bench-{}", self.queues)).await
    }

    pub async fn create(&self, name: &str) -> Result<Queue> {
        // A function's timeout is not to be longer.
        let attributes = json!({"VisibilityTimeout": "120"});
        let input = json!({"QueueName": name, "Attributes": attributes});
        let answer = self.ask("AmazonSQS.CreateQueue", &input).await?;
        let url = answer["QueueUrl"].as_str().context("a queue has a URL")?;
        Ok(Queue {
            url: url.to_owned(),
        })
    }

    /// One request on a connection of its own.
    pub async fn ask(&self, operation: &'static str, input: &Value) -> Result<Value> {
        Client::connect(self.address)
            .await?
            .json(operation, input)
            .await
    }

    /// How many messages there are, visible, in flight and delayed.
    pub async fn count(&self, queue: &Queue) -> Result<usize> {
        let input = json!({"QueueUrl": queue.url, "AttributeNames": ["All"]});
        let answer = self.ask("AmazonSQS.GetQueueAttributes", &input).await?;
        let count = |which: &str| {
            let name = format!("ApproximateNumberOfMessages{which}");
            answer["Attributes"][name].as_str()?.parse::<usize>().ok()
        };
        let counts = ["", "NotVisible", "Delayed"].map(count);
        let all: Option<Vec<_>> = counts.into_iter().collect();
        Ok(all.context("read a queue's counts")?.into_iter().sum())
    }

    /// How many transactions its store has committed; not known of peers.
    pub async fn commits(&self) -> Result<Option<u64>> {
        if !self.kind.is_ours() {
            return Ok(None);
        }
        let host = self.address.to_string();
        let get = Template::raw(Method::GET, &host, "/_lambent/metrics", "")?;
        let (_, page) = load::Client::connect(self.address)
            .await?
            .send(&get)
            .await?;
        let page = String::from_utf8_lossy(&page).into_owned();
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix("lambent_store_commits_total "));
        let count = line.and_then(|count| count.trim().parse::<f64>().ok());
        Ok(Some(count.context("the metrics have no commits")? as u64))
    }

    /// The server's own memory, without its database's.
    pub fn resident_mb(&self) -> Result<f64> {
        match &self.process {
            Process::Ours(platform) => resident_mb(platform.pid()),
            Process::Peer(peer) => resident_mb(peer.pid().context("it has ended")?),
        }
    }

    pub fn postgres_url(&self) -> Option<&str> {
        self.postgres.as_ref().map(|postgres| postgres.url.as_str())
    }
}
