//! How a platform opens: what is stored is read, in the order in which one needs the other, and what goes on
//! beside requests begins.

use std::{io, path::PathBuf, sync::Arc};

use store::{BlobStore, Owner, Store, StoreConfig};
use wire::Router;

use super::{Inner, Platform, answering::Operations, migrations};
use crate::{
    background::Background,
    buckets::Buckets,
    buses::{self, Buses},
    clock::Clock,
    deliveries::Deliveries,
    durable::DurableExecutions,
    events::Events,
    functions::{
        self, Functions, FunctionsConfig,
        execution::{Execution, ExecutionConfig, IdlePolicy, WayIn},
        images::ImagesConfig,
        installed::Installed,
        runtimes::{Configured, Packages, Runtimes},
    },
    gateway::FunctionUrls,
    identity::{Credential, Identity, Sessions, session::NoRandomness},
    invocations::{InvocationCounts, Runs},
    logs::{self, LogService, Logs},
    measuring::{Embedded, Measuring},
    metering::{self, Metering, Prices},
    metrics::{self, Metrics},
    node,
    outbound::{HttpTarget, Outbound, Reach},
    pipes::Pipes,
    queues::{EngineError, Queues},
    schedules::{Schedules, Universal},
    secrets::{Secrets, SecretsError},
    services::{self, Services},
    timers::Timers,
    topics::{Topics, TopicsConfig},
    triggers::EventSourceMappings,
};

/// What a platform is started with.
pub struct PlatformConfig {
    /// Code, logs and the use not yet billed lie below it.
    pub data_dir: PathBuf,
    /// A directory, or `postgres://…`.
    pub store: String,
    /// The name under which this process has the store to itself: much of it is kept in memory.
    pub owner: Owner,
    pub backend: Arc<dyn sandbox::Backend>,
    /// None: development mode.
    pub credentials: Vec<Credential>,
    /// Environments that an account may have busy at once.
    pub account_concurrency: u32,
    /// Environments of a function that may be started each 10 seconds.
    pub scaling_rate: u32,
    /// How long an environment without work is kept, and how soon it is frozen.
    pub idle: IdlePolicy,
    /// Interpreters named by the operator, by runtime.
    pub interpreters: Configured,
    pub packages: Packages,
    /// Where container images may come from.
    pub images: ImagesConfig,
    pub prices: Prices,
    /// How clients reach the platform, e.g. `http://localhost:4566`: function URLs and links to
    /// code begin so.
    pub base_url: String,
    /// How functions do: their `AWS_ENDPOINT_URL`.
    pub functions_url: String,
}

impl Platform {
    /// Opens what is stored, and is ready to answer.
    pub async fn start(config: PlatformConfig) -> Result<Self, StartError> {
        let data = &config.data_dir;
        let store = StoreConfig {
            owner: Some(config.owner),
            ..StoreConfig::new(config.store)
        };
        let store = Store::open(store, &migrations()).await?;
        let blobs = BlobStore::open(data.join("blobs")).await?;
        let objects = data.join("objects");
        let logs = Logs::open(data.join("logs")).map_err(reason("open the logs"))?;
        let host = host_of(&config.base_url).to_owned();
        let node = node::id(data).map_err(reason("read this node's name"))?;
        let metering = Metering::open(store.clone(), data.join("usage"), &node).await?;
        let sessions = Sessions::new()?;
        let way_in = Arc::new(WayIn::new(config.functions_url, sessions.clone()));
        let execution = Execution::new(
            config.backend,
            logs.clone(),
            metering.clone(),
            way_in.clone(),
            ExecutionConfig {
                idle: config.idle,
                account_concurrency: config.account_concurrency,
                scaling_rate: config.scaling_rate,
            },
        );
        let installed = Installed::of(&config.data_dir);
        installed.tidy();
        let runtimes = Runtimes::discover(&config.interpreters, &config.packages, &installed).await;
        let counts = Arc::new(InvocationCounts::default());
        let secrets = Arc::new(Secrets::open(&data.join("functions.key"))?);
        let clock = Arc::new(Clock::new());
        let queues = Queues::open(
            store.clone(),
            secrets.clone(),
            clock.clone(),
            &config.base_url,
        );
        let (queues, keeping) = queues.await?;
        let deliveries = Deliveries::open(store.clone(), queues.clone());
        let timers = Timers::open(store.clone(), clock.clone(), deliveries.clone());
        let base_url = config.base_url.clone();
        let functions = Functions::open(FunctionsConfig {
            data_dir: config.data_dir,
            secrets: secrets.clone(),
            store: store.clone(),
            blobs: blobs.clone(),
            executor: Arc::new(Runs {
                execution: execution.clone(),
                counts: counts.clone(),
            }),
            runtimes: runtimes.clone(),
            base_url: config.base_url,
            account_concurrency: config.account_concurrency,
            images: config.images,
        });
        let functions = functions.await?;
        let reconciling = Background::default();
        let (topics_secrets, topics_clock) = (secrets.clone(), clock.clone());
        // Before whatever may invoke a durable function.
        let executions = DurableExecutions::open(
            store.clone(),
            secrets.clone(),
            functions.clone(),
            clock.clone(),
            &reconciling,
        );
        let buckets = Buckets::open(
            store.clone(),
            secrets.clone(),
            deliveries.clone(),
            &objects,
            &reconciling,
        );
        let buckets = buckets.await?;
        functions.take_code_from(Arc::new(buckets.clone()));
        let mappings = EventSourceMappings::open(
            store.clone(),
            functions.clone(),
            queues.clone(),
            &reconciling,
        );
        let mappings = mappings.await?;
        let events = Events::open(
            functions.clone(),
            queues.clone(),
            deliveries.clone(),
            &reconciling,
        );
        let events = events.await;
        // In development mode, whoever reaches the platform has the machine, too.
        let loopback = config.credentials.is_empty();
        let outbound = Outbound::new(Reach { loopback });
        let outbound = outbound.map_err(reason("read the certificates to trust"))?;
        let buses = Buses::open(
            store.clone(),
            secrets,
            clock.clone(),
            deliveries.clone(),
            outbound.clone(),
        );
        let buses = buses.await?;
        let metrics = Metrics::open(store.clone(), deliveries.clone(), &reconciling).await?;
        logs.listen(Arc::new(Embedded(metrics.clone())));
        let logs = LogService::open(
            store.clone(),
            logs,
            functions.clone(),
            deliveries.clone(),
            metrics.clone(),
            &reconciling,
        );
        let logs = logs.await?;
        let topics = TopicsConfig {
            store: store.clone(),
            secrets: topics_secrets,
            clock: topics_clock,
            deliveries: deliveries.clone(),
            base_url,
        };
        let topics = Topics::open(topics, &reconciling).await?;
        // Who can be a target of deliveries, and then what the last process left of them.
        deliveries.register("lambda", Arc::new(events.clone()));
        deliveries.register("events", Arc::new(buses.clone()));
        deliveries.register("logs", Arc::new(logs.clone()));
        deliveries.register("http", Arc::new(HttpTarget(outbound)));
        deliveries.register("sns", Arc::new(topics.clone()));
        let universal = Arc::new(Universal::default());
        deliveries.register("scheduler", universal.clone());
        deliveries.begin(&reconciling).await;
        buses.begin(&reconciling);
        buckets.begin(&reconciling);
        let pipes = Pipes::open(
            store.clone(),
            queues.clone(),
            functions.clone(),
            buses.clone(),
            deliveries.clone(),
            &reconciling,
        );
        let pipes = pipes.await?;
        let schedules = Schedules::open(
            store.clone(),
            clock,
            timers.clone(),
            deliveries.clone(),
            &reconciling,
        );
        // When all that own some are there.
        timers.begin(&reconciling);
        let measuring = Arc::new(Measuring::new(
            execution.clone(),
            events.clone(),
            queues.clone(),
            metrics.clone(),
        ));
        let identity = Arc::new(Identity::new(&config.credentials, sessions));
        let inner = Inner {
            router: Router::new(&services::SERVED).at_host(&host),
            urls: FunctionUrls::new(functions.clone(), identity.clone()),
            identity,
            background: vec![
                tokio::spawn(metering.clone().keep_folding()),
                tokio::spawn(functions.clone().keep_collecting()),
                keeping,
                tokio::spawn({
                    let measuring = measuring.clone();
                    async move { measuring.keep_measuring().await }
                }),
            ],
            reconciling,
            prices: config.prices,
            store,
            blobs,
            services: Services {
                functions,
                events,
                mappings,
                executions,
                queues,
                buckets,
                buses,
                schedules,
                pipes,
                topics,
                logs,
                metrics,
            },
            execution,
            way_in,
            deliveries,
            metering,
            measuring,
            runtimes,
            counts,
        };
        let inner = Arc::new(inner);
        universal.open(Box::new(Operations(Arc::downgrade(&inner))));
        Ok(Platform { inner })
    }
}

/// The name in a URL's authority.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    let port = |port: &str| port.bytes().all(|b| b.is_ascii_digit());
    match authority.rsplit_once(':') {
        Some((name, digits)) if port(digits) => name,
        _ => authority,
    }
}
/// Why the platform does not start, in words for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("open the store")]
    Store(#[from] store::Error),
    #[error("open the usage journal")]
    Metering(#[from] metering::MeteringError),
    #[error("open the platform's key")]
    Secrets(#[from] SecretsError),
    #[error("make functions' credentials")]
    Sessions(#[from] NoRandomness),
    #[error("load the queues")]
    Queues(#[from] EngineError),
    #[error("load the metrics")]
    Metrics(#[from] metrics::Error),
    #[error("load the log groups")]
    Logs(#[from] logs::Error),
    #[error("load the functions")]
    Functions(#[from] functions::OpenError),
    #[error("load the event buses")]
    Buses(#[from] buses::OpenError),
    #[error("{what}")]
    File {
        what: &'static str,
        source: io::Error,
    },
}

fn reason(what: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |source| StartError::File { what, source }
}
