//! The whole platform behind one handle: every request that is AWS's comes in here, as a head and a
//! body, and leaves as an answer.
//!
//! Knows no socket. The listener asks first where a request goes ([`Platform::target`]), so that
//! it knows how much of a body to read, and then for the answer.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, Response, header, request::Parts};
use jiff::Timestamp;
use store::{BlobHash, BlobStore, Migration, Owner, Store, StoreConfig};
use tokio::task::JoinHandle;
use wire::{
    Call, Context, Error, Head, Origin, Route, Router,
    sigv4::{self, AuthError},
};

use crate::{
    background::Background,
    body::Body,
    buckets::{
        self, Buckets,
        front::{self, Pieces},
    },
    buses::{self, Buses},
    clock::Clock,
    compression::unpacked,
    deliveries::Deliveries,
    durable::{self, DurableExecutions},
    events::Events,
    functions::{
        self, Functions, FunctionsConfig, MIGRATION_COUNT,
        execution::{Execution, ExecutionConfig, IdlePolicy, Reception, WayIn},
        images::ImagesConfig,
        installed::Installed,
        runtimes::{Configured, Packages, Runtimes},
    },
    gateway::{
        FunctionUrls, UrlRequest, address,
        url::{self, Client},
    },
    identity::{Caller, Credential, Identity, Sender, Sessions, session::NoRandomness},
    invocations::{InvocationCounts, Runs},
    limits,
    logs::{self, LogService, Logs},
    measuring::{Embedded, Measuring},
    metering::{self, Metering, Prices},
    metrics::{self, Metrics},
    node,
    outbound::{HttpTarget, Outbound, Reach},
    pipes::{self, Pipes},
    queues::{self, EngineError, Queues},
    schedules::{self, Schedules, Universal},
    secrets::{Secrets, SecretsError},
    services::{self, Services},
    target::{Nowhere, Target},
    timers::{self, Timers},
    topics::{self, Topics, TopicsConfig},
    triggers::{self, EventSourceMappings},
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

/// A cheap handle.
#[derive(Clone)]
pub struct Platform {
    inner: Arc<Inner>,
}

struct Inner {
    router: Router,
    identity: Arc<Identity>,
    urls: FunctionUrls,
    store: Store,
    blobs: BlobStore,
    services: Services,
    execution: Execution,
    way_in: Arc<WayIn>,
    deliveries: Deliveries,
    metering: Metering,
    measuring: Arc<Measuring>,
    prices: Prices,
    runtimes: Runtimes,
    counts: Arc<InvocationCounts>,
    /// What goes on beside requests: folding the usage, collecting packages.
    background: Vec<JoinHandle<()>>,
    reconciling: Background,
}

/// A request as it came in.
pub struct Request {
    pub parts: Parts,
    /// All of it, or nothing of one that is read piece by piece.
    pub body: Bytes,
    pub client: Client,
    pub request_id: String,
    pub sender: Sender,
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

    /// What only waits ends, so that requests which run can finish: receivers get no message, and
    /// mappings take none.
    pub fn begin_stop(&self) {
        self.inner.services.mappings.begin_stop();
        self.inner.services.pipes.begin_stop();
        self.inner.deliveries.begin_stop();
        self.inner.services.events.begin_stop();
        self.inner.services.executions.begin_stop();
        self.inner.services.logs.begin_stop();
        self.inner.services.queues.let_waiters_go();
    }

    /// Takes no more invocations, waits for those that run, and closes everything.
    pub async fn stop(&self, within: Duration) {
        let until = Instant::now() + within;
        self.inner.services.mappings.stop(within).await;
        let left = until.saturating_duration_since(Instant::now());
        self.inner.services.pipes.stop(left).await;
        let left = until.saturating_duration_since(Instant::now());
        self.inner.deliveries.stop(left).await;
        let left = until.saturating_duration_since(Instant::now());
        self.inner.services.events.stop(left).await;
        let left = until.saturating_duration_since(Instant::now());
        self.inner.execution.drain(left).await;
        let left = until.saturating_duration_since(Instant::now());
        self.inner.services.executions.stop(left).await;
        self.inner.reconciling.stop();
        for task in &self.inner.background {
            task.abort();
        }
        self.inner.measuring.finish().await;
        if let Err(error) = self.inner.metering.fold().await {
            tracing::warn!(%error, "the last use stays in the journal until the next start");
        }
        // The last words of what was ended.
        let logs = self.logs().clone();
        let _ = tokio::task::spawn_blocking(move || logs.flush()).await;
        self.inner.store.close().await;
    }

    pub fn functions(&self) -> &Functions {
        &self.inner.services.functions
    }

    pub fn queues(&self) -> &Queues {
        &self.inner.services.queues
    }

    pub fn mappings(&self) -> &EventSourceMappings {
        &self.inner.services.mappings
    }

    pub fn events(&self) -> &Events {
        &self.inner.services.events
    }

    pub fn deliveries(&self) -> &Deliveries {
        &self.inner.deliveries
    }

    /// What brings things to how they should be, by name.
    pub fn background(&self) -> &Background {
        &self.inner.reconciling
    }

    pub fn execution(&self) -> &Execution {
        &self.inner.execution
    }

    /// Says who serves the connections that functions open to the platform. Once, before the first
    /// request; until then they are closed.
    pub fn receive(&self, reception: Arc<dyn Reception>) {
        self.inner.way_in.open(reception);
    }

    pub fn logs(&self) -> &Logs {
        self.inner.services.logs.lines()
    }

    pub fn metrics(&self) -> &Metrics {
        &self.inner.services.metrics
    }

    pub fn metering(&self) -> &Metering {
        &self.inner.metering
    }

    pub fn prices(&self) -> &Prices {
        &self.inner.prices
    }

    pub fn runtimes(&self) -> &Runtimes {
        &self.inner.runtimes
    }

    pub fn invocations(&self) -> &InvocationCounts {
        &self.inner.counts
    }

    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The certificate that SNS's messages are verified with, by the end of its URL.
    pub async fn signing_certificate(&self, file: &str) -> Option<String> {
        self.inner.services.topics.certificate(file).await
    }

    /// The package that a link of GetFunction's leads to, while it is good.
    pub async fn package(&self, token: &str, now: Timestamp) -> Option<Vec<u8>> {
        let blob: BlobHash = self.inner.services.functions.linked_package(token, now)?;
        let read = self.inner.blobs.get(blob, limits::PACKAGE_BYTES_MAX).await;
        read.inspect_err(|error| tracing::error!(%error, "read a function's package"))
            .ok()
    }

    pub fn identity(&self) -> &Identity {
        &self.inner.identity
    }

    /// Where a request goes; what [`Platform::answer`] is given.
    pub fn target(&self, parts: &Parts) -> Target {
        Target::of(parts, &self.inner.router)
    }

    /// Whether more than a small body is worth reading: not from somebody who will be refused
    /// whatever it is.
    pub fn may_send(&self, target: &Target, sender: &Sender, parts: &Parts) -> bool {
        let (identity, now) = (&self.inner.identity, Timestamp::now());
        match target {
            Target::Api(_) => identity.may_be_known(sender, parts, now),
            Target::Url(address) => self.inner.urls.may_send(address, sender, parts, now),
            Target::Unknown(_) => false,
        }
    }

    /// Answers a request. To be run to its end, even if the client has gone: what has begun is
    /// finished, as in AWS.
    pub async fn answer(&self, target: Target, request: Request) -> Response<Body> {
        let now = Timestamp::now();
        match target {
            Target::Url(address) => {
                let Request {
                    parts,
                    body,
                    client,
                    request_id,
                    sender,
                } = request;
                let request = UrlRequest {
                    parts,
                    body,
                    client,
                    sender,
                    request_id,
                    now,
                };
                self.inner.urls.answer(&address, request).await
            }
            Target::Api(head) => {
                let plain = match unpacked(&head, &request.parts, &request.body) {
                    Ok(plain) => plain,
                    Err(error) => {
                        let (protocol, service) = (head.protocol(), head.service());
                        let id = &request.request_id;
                        return wire::encode_error(protocol, Some(service), &error, id)
                            .map(Body::from);
                    }
                };
                match head.route(&request.parts, &plain) {
                    Ok(route) => self.api(&route, request, &plain, now).await,
                    Err(unrouted) => {
                        let nowhere = Nowhere::from(unrouted);
                        nowhere.answer(&request.request_id).map(Body::from)
                    }
                }
            }
            Target::Unknown(nowhere) => nowhere.answer(&request.request_id).map(Body::from),
        }
    }

    /// Answers a request whose body is read as it comes ([`Target::is_streamed`]). To be run to its
    /// end too: a body that broke off is no end.
    pub async fn answer_streamed(
        &self,
        target: Target,
        request: Request,
        pieces: Box<dyn Pieces>,
    ) -> Response<Body> {
        let now = Timestamp::now();
        let Target::Api(Head::Operation(route)) = target else {
            return self.answer(target, request).await;
        };
        let (identity, sender) = (&self.inner.identity, request.sender.clone());
        let who = front::caller(identity, &sender, &route, &request.parts, now);
        let (caller, signer) = match who {
            Ok(caller) => caller,
            Err(error) => {
                tracing::debug!(request.request_id, "refused: {error}");
                let error = error.to_error(route.protocol);
                let refused = wire::refuse(&route, &request.parts, &error, &request.request_id);
                return refused.map(Body::from);
            }
        };
        let (parts, cx) = context(caller, request, now);
        let asked = front::Asked {
            cx: &cx,
            route: &route,
            parts,
            pieces,
            signer,
            identity,
            sender: &sender,
        };
        front::answer(&self.inner.services.buckets, asked).await
    }

    /// `plain` is the request's body as it is read.
    async fn api(
        &self,
        route: &Route,
        request: Request,
        plain: &Bytes,
        now: Timestamp,
    ) -> Response<Body> {
        let Request {
            parts,
            body,
            request_id,
            sender,
            ..
        } = &request;
        let caller = match self.caller(route, sender, parts, body, now) {
            Ok(caller) => caller,
            Err(error) => {
                tracing::debug!(request_id, "refused: {error}");
                return refuse(route, &error.to_error(route.protocol), request_id).map(Body::from);
            }
        };
        let (parts, cx) = context(caller, request, now);
        let call = Call {
            cx: &cx,
            route,
            parts: &parts,
            body: plain,
        };
        self.inner.services.dispatch(call).await
    }

    fn caller(
        &self,
        route: &Route,
        sender: &Sender,
        parts: &Parts,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Caller, AuthError> {
        if services::is_open(route) && sigv4::parse(parts).is_none() {
            return Ok(Caller::nobody(route.service.signing_name));
        }
        let caller = self.inner.identity.caller(sender, parts, body, now)?;
        let service = route.service.signing_name;
        if caller.service != service {
            return Err(AuthError::wrong_service(service));
        }
        Ok(caller)
    }
}

fn context(caller: Caller, request: Request, now: Timestamp) -> (Parts, Context) {
    let Request {
        parts,
        request_id,
        sender,
        client,
        ..
    } = request;
    let host = address::host(&parts).unwrap_or_default().into_owned();
    let origin = origin(&parts, client, &sender);
    let cx = Context {
        request_id,
        account_id: caller.account_id,
        region: caller.region,
        access_key_id: caller.access_key_id,
        role: caller.role,
        host,
        origin,
        trace_header: url::trace_header(&parts).map(str::to_owned),
        now,
    };
    (parts, cx)
}

/// The operations of all services, for targets that are one.
struct Operations(Weak<Inner>);

#[async_trait]
impl schedules::Operations for Operations {
    async fn run(&self, call: Call<'_>) -> Response<Body> {
        match self.0.upgrade() {
            Some(inner) => inner.services.dispatch(call).await,
            None => refuse(call.route, &Error::internal(), &call.cx.request_id).map(Body::from),
        }
    }
}

/// What policies may ask about where a request came from. There is no TLS here: what never leaves
/// this machine is as good, and so is what a proxy on it has taken in.
fn origin(parts: &Parts, client: Client, sender: &Sender) -> Origin {
    let text = |name: HeaderName| {
        let value = parts.headers.get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    let ip = client.ip.to_canonical();
    Origin {
        ip: Some(ip),
        is_secure: ip.is_loopback() || matches!(sender, Sender::Environment(_)),
        user_agent: text(header::USER_AGENT),
        referer: text(header::REFERER),
    }
}

fn refuse(route: &Route, error: &Error, request_id: &str) -> Response<Bytes> {
    wire::encode_error(route.protocol, Some(route.service), error, request_id)
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

pub(crate) fn migrations() -> Vec<Migration> {
    let next = |all: &Vec<Migration>| u32::try_from(all.len()).unwrap_or(u32::MAX) + 1;
    let mut all = Vec::from(functions::migrations(1));
    let usage = Migration::new(MIGRATION_COUNT + 1, "usage", metering::MIGRATION_SQL);
    all.push(usage);
    all.extend(queues::migrations(MIGRATION_COUNT + 2));
    let queues = queues::MIGRATION_COUNT;
    all.extend(triggers::migrations(MIGRATION_COUNT + 2 + queues));
    // From here on in the order in which they came, each after all before it.
    all.extend(functions::layer_migrations(next(&all)));
    all.extend(functions::version_migrations(next(&all)));
    all.push(functions::signing_migration(next(&all)));
    all.extend(durable::migrations(next(&all)));
    let sql = metering::PROVISIONED_MIGRATION_SQL;
    all.push(Migration::new(next(&all), "usage_provisioned", sql));
    all.extend(buckets::migrations(next(&all)));
    all.push(metrics::migration(next(&all)));
    all.extend(buses::migrations(next(&all)));
    all.extend(pipes::migrations(next(&all)));
    all.extend(timers::migrations(next(&all)));
    all.extend(schedules::migrations(next(&all)));
    all.extend(metrics::alarm_migrations(next(&all)));
    all.push(logs::migration(next(&all)));
    all.extend(topics::migrations(next(&all)));
    all
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
