//! Scheduling, over the fake backend: functions are closures in this process that speak the Runtime
//! API over their listeners.

mod provisioned;
mod versions;

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use sandbox::{
    Exit, ExitStatus, Launch, NetworkPolicy,
    fake::{Fake, Start},
};
use store::{Store, StoreConfig};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    sync::{mpsc, watch},
    task::JoinSet,
};

mod extensions;
mod streaming;
mod telemetry;

use super::*;
use crate::{
    identity::{Session, Sessions},
    limits,
};

/// Answers with the generation of its definition.
const GENERATION: &str = "GENERATION";

struct World {
    execution: Execution,
    way_in: Arc<WayIn>,
    fake: Arc<Fake>,
    _data: tempfile::TempDir,
}

impl World {
    async fn new(fake: Fake, config: ExecutionConfig) -> Self {
        let data = tempfile::tempdir().unwrap();
        let path = |name: &str| data.path().join(name);
        let migrations = crate::platform::migrations();
        let store = StoreConfig::new(path("store").to_str().unwrap());
        let store = Store::open(store, &migrations).await.unwrap();
        let metering = Metering::open(store, path("usage"), "node").await.unwrap();
        let fake = Arc::new(fake);
        let logs = Logs::open(path("logs")).unwrap();
        let sessions = Sessions::new().unwrap();
        let way_in = Arc::new(WayIn::new("http://127.0.0.1:4566".into(), sessions));
        let execution = Execution::new(fake.clone(), logs, metering, way_in.clone(), config);
        World {
            execution,
            way_in,
            fake,
            _data: data,
        }
    }

    async fn deploy(&self, generation: i64) {
        self.execution.deploy(definition(generation)).await.unwrap();
    }

    async fn invoke(&self) -> Result<Outcome, InvokeError> {
        invoke(&self.execution).await
    }

    fn count(&self, state: EnvironmentState) -> usize {
        let environments = self.execution.environments();
        environments.iter().filter(|it| it.state == state).count()
    }
}

async fn invoke(execution: &Execution) -> Result<Outcome, InvokeError> {
    let invocation = Invocation {
        request_id: uuid::Uuid::new_v4().to_string(),
        payload: Bytes::from_static(b"{}"),
        client_context: None,
        cognito_identity: None,
        invoked_function_arn: String::new(),
        trace_id: None,
        log_tail: false,
    };
    execution.invoke(&key_of("$LATEST"), invocation).await
}

fn key_of(version: &str) -> VersionKey {
    VersionKey {
        function: key(),
        version: version.into(),
    }
}

fn key() -> FunctionKey {
    FunctionKey {
        account_id: "000000000000".into(),
        region: "us-east-1".into(),
        name: "f".into(),
    }
}

pub fn definition(generation: i64) -> Definition {
    Definition {
        key: key(),
        version: "$LATEST".into(),
        generation,
        runtime: "provided.al2023".into(),
        launch: Launch::Bootstrap,
        handler: String::new(),
        role: "arn:aws:iam::000000000000:role/r".into(),
        architecture: "x86_64".into(),
        code: Arc::new(CodeDirectory("/nowhere".into())),
        layers: Vec::new(),
        image_environment: Vec::new(),
        environment: vec![(GENERATION.into(), generation.to_string())],
        memory_mb: 128,
        tmp_mb: 512,
        timeout_s: 30,
        network: NetworkPolicy::Off,
        log_group: "/aws/lambda/f".into(),
        log_format: LogFormat::Text,
        application_log_level: LogLevel::Info,
        system_log_level: LogLevel::Info,
        tracing_active: false,
        snap_start: false,
    }
}

/// A runtime's side of the Runtime API.
struct Client(BufReader<TcpStream>);

impl Client {
    async fn connect(start: &Start) -> io::Result<Self> {
        let stream = TcpStream::connect(start.runtime_api).await?;
        Ok(Client(BufReader::new(stream)))
    }

    /// Asks for an event; gives its request id.
    async fn next(&mut self) -> io::Result<String> {
        let ask = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nhost: x\r\n\r\n";
        self.0.get_mut().write_all(ask.as_bytes()).await?;
        self.answer().await
    }

    async fn respond(&mut self, request_id: &str, body: &str) -> io::Result<()> {
        let path = format!("/2018-06-01/runtime/invocation/{request_id}/response");
        let length = body.len();
        let request =
            format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}");
        self.0.get_mut().write_all(request.as_bytes()).await?;
        self.answer().await.map(drop)
    }

    async fn answer(&mut self) -> io::Result<String> {
        let (mut length, mut request_id) = (0, String::new());
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match line.trim_end().split_once(": ") {
                Some(("content-length", value)) => length = value.parse().unwrap(),
                Some(("lambda-runtime-aws-request-id", value)) => request_id = value.into(),
                Some(_) => {}
                None if line.trim_end().is_empty() => break,
                None => {}
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await?;
        Ok(request_id)
    }
}

const GONE: Exit = Exit {
    status: ExitStatus::Code(0),
    out_of_memory: false,
};

/// Answers every event with its generation, until its listener goes.
async fn serve(start: Start) -> Exit {
    let answers = async {
        let mut client = Client::connect(&start).await?;
        loop {
            let request_id = client.next().await?;
            client.respond(&request_id, &generation(&start)).await?;
        }
    };
    let _: io::Result<()> = answers.await;
    GONE
}

fn generation(start: &Start) -> String {
    let mut variables = start.env.iter();
    let (_, value) = variables.find(|(name, _)| name == GENERATION).unwrap();
    value.clone()
}

/// Holds every event until it is let go.
fn holding(gate: &watch::Sender<bool>) -> Fake {
    let gate = gate.subscribe();
    Fake::new(move |start: Start| {
        let mut gate = gate.clone();
        async move {
            let answers = async {
                let mut client = Client::connect(&start).await?;
                loop {
                    let request_id = client.next().await?;
                    let _ = gate.wait_for(|open| *open).await;
                    client.respond(&request_id, "{}").await?;
                }
            };
            let _: io::Result<()> = answers.await;
            GONE
        }
    })
}

fn limited(account_concurrency: u32) -> ExecutionConfig {
    ExecutionConfig {
        account_concurrency,
        ..ExecutionConfig::default()
    }
}

/// Waits for what another task is about to do.
async fn until(what: impl Fn() -> bool) {
    let done = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let within = tokio::time::timeout(Duration::from_secs(30), done);
    within.await.expect("it comes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_request_is_answered_by_an_environment_older_than_it() {
    const UPDATES: i64 = 60;
    let world = Arc::new(World::new(Fake::new(serve), limited(1000)).await);
    world.deploy(0).await;
    let (deployed, answers) = (Arc::<AtomicI64>::default(), Arc::<AtomicUsize>::default());
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let (world, deployed, answers) = (world.clone(), deployed.clone(), answers.clone());
        clients.spawn(async move {
            while deployed.load(Ordering::SeqCst) < UPDATES {
                let at_least = deployed.load(Ordering::SeqCst);
                let outcome = world.invoke().await.unwrap();
                let payload = String::from_utf8(outcome.payload.to_vec()).unwrap();
                let answered: i64 = payload.parse().unwrap();
                assert!(answered >= at_least, "{answered} answered after {at_least}");
                answers.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    for update in 1..=UPDATES {
        let before = answers.load(Ordering::SeqCst);
        world.deploy(update).await;
        deployed.store(update, Ordering::SeqCst);
        if update < UPDATES {
            until(|| answers.load(Ordering::SeqCst) >= before + 3).await;
        }
    }
    clients.join_all().await;
    // Of the older ones nothing stays.
    until(|| world.fake.alive() == world.execution.environments().len()).await;
}

#[tokio::test]
async fn a_request_that_finds_none_free_starts_one_and_the_next_find_them() {
    let gate = watch::channel(false).0;
    let world = World::new(holding(&gate), limited(1000)).await;
    world.deploy(0).await;
    let execution = &world.execution;
    let burst = async || {
        let mut requests = JoinSet::new();
        for _ in 0..20 {
            let execution = execution.clone();
            requests.spawn(async move { invoke(&execution).await.unwrap().error });
        }
        until(|| world.count(EnvironmentState::Busy) == 20).await;
        gate.send_replace(true);
        assert!(requests.join_all().await.iter().all(Option::is_none));
        gate.send_replace(false);
    };
    burst().await;
    until(|| world.count(EnvironmentState::Busy) == 0).await;
    burst().await;
    assert_eq!(world.fake.started(), 20);
}

#[tokio::test]
async fn past_the_limit_requests_are_refused_and_none_is_counted_twice() {
    let gate = watch::channel(false).0;
    let world = World::new(holding(&gate), limited(5)).await;
    world.deploy(0).await;
    let refused = Arc::new(AtomicUsize::new(0));
    let mut requests = JoinSet::new();
    for _ in 0..50 {
        let (execution, refused) = (world.execution.clone(), refused.clone());
        requests.spawn(async move {
            match invoke(&execution).await {
                Ok(outcome) => assert!(outcome.error.is_none()),
                Err(InvokeError::Throttled(why)) => {
                    assert_eq!(why, Throttle::ConcurrentInvocationLimitExceeded);
                    refused.fetch_add(1, Ordering::SeqCst);
                }
                Err(other) => panic!("{other}"),
            }
        });
    }
    until(|| refused.load(Ordering::SeqCst) == 45).await;
    assert_eq!(world.execution.concurrency(&key().account_id), 5);
    gate.send_replace(true);
    requests.join_all().await;
    assert_eq!(refused.load(Ordering::SeqCst), 45);
    assert_eq!(world.execution.concurrency(&key().account_id), 0);
    assert!(world.fake.started() <= 5);
}

#[tokio::test]
async fn an_init_that_fails_is_begun_anew_once_for_the_request() {
    let failures = Arc::new(AtomicUsize::new(1));
    let left = failures.clone();
    let flaky = move |start: Start| {
        let fails = left.load(Ordering::SeqCst) > 0;
        left.fetch_sub(usize::from(fails), Ordering::SeqCst);
        async move { if fails { GONE } else { serve(start).await } }
    };
    let world = World::new(Fake::new(flaky), limited(1000)).await;
    world.deploy(0).await;
    assert!(world.invoke().await.unwrap().error.is_none());
    assert_eq!(world.fake.started(), 2);

    failures.store(usize::MAX, Ordering::SeqCst);
    world.deploy(1).await;
    let outcome = world.invoke().await.unwrap();
    assert_eq!(outcome.error, Some(FunctionError::Unhandled));
    assert_eq!(world.fake.started(), 4);
}

#[tokio::test]
async fn an_environment_that_ended_at_rest_is_not_chosen() {
    let once = |start: Start| async move {
        let answers = async {
            let mut client = Client::connect(&start).await?;
            let request_id = client.next().await?;
            client.respond(&request_id, "{}").await
        };
        let _: io::Result<()> = answers.await;
        GONE
    };
    let world = World::new(Fake::new(once), limited(1000)).await;
    world.deploy(0).await;
    for started in 1..=5 {
        assert!(world.invoke().await.unwrap().error.is_none());
        assert_eq!(world.fake.started(), started);
    }
}

#[tokio::test]
async fn a_runtime_that_dawdles_after_its_answer_does_not_hold_up_the_next_request() {
    let gate = watch::channel(false).0;
    let asked = gate.subscribe();
    let slow = move |start: Start| {
        let mut asked = asked.clone();
        async move {
            let answers = async {
                let mut client = Client::connect(&start).await?;
                loop {
                    let request_id = client.next().await?;
                    client.respond(&request_id, "{}").await?;
                    let _ = asked.wait_for(|open| *open).await;
                }
            };
            let _: io::Result<()> = answers.await;
            GONE
        }
    };
    let world = World::new(Fake::new(slow), limited(1000)).await;
    world.deploy(0).await;
    assert!(world.invoke().await.unwrap().error.is_none());
    assert!(world.invoke().await.unwrap().error.is_none());
    assert_eq!(world.fake.started(), 2);
    // When they ask for more they are taken again.
    gate.send_replace(true);
    until(|| world.count(EnvironmentState::Busy) == 0).await;
    assert!(world.invoke().await.unwrap().error.is_none());
    assert_eq!(world.fake.started(), 2);
}

#[tokio::test]
async fn a_drain_lets_what_runs_finish_and_leaves_nothing() {
    let gate = watch::channel(false).0;
    let world = World::new(holding(&gate), limited(1000)).await;
    world.deploy(0).await;
    let execution = world.execution.clone();
    let running = tokio::spawn(async move { invoke(&execution).await });
    until(|| world.count(EnvironmentState::Busy) == 1).await;
    let mut draining = Box::pin(world.execution.drain(Duration::from_secs(30)));
    let begun = poll_fn(|cx| Poll::Ready(draining.as_mut().poll(cx))).await;
    assert!(begun.is_pending());
    let refused = world.invoke().await;
    assert!(matches!(refused, Err(InvokeError::ShuttingDown)));
    gate.send_replace(true);
    draining.await;
    assert!(running.await.unwrap().unwrap().error.is_none());
    until(|| world.fake.alive() == 0).await;
}

/// Says to whoever connects who it is, and holds on to the connection.
struct Saying;

impl Reception for Saying {
    fn serve(
        &self,
        mut connection: TcpStream,
        from: Arc<Session>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let said = format!("{}\n", from.role.session);
            let _ = connection.write_all(said.as_bytes()).await;
            std::future::pending().await
        })
    }
}

#[tokio::test]
async fn connections_to_the_platform_are_the_functions_own_bounded_and_end_with_it() {
    let (sender, mut address) = mpsc::unbounded_channel();
    let fake = Fake::new(move |start: Start| {
        let _ = sender.send(start.platform);
        serve(start)
    });
    let world = World::new(fake, limited(1000)).await;
    world.way_in.open(Arc::new(Saying));
    world.deploy(0).await;
    world.invoke().await.unwrap();
    let address = address.recv().await.unwrap();
    let connect = async || {
        let mut connection = BufReader::new(TcpStream::connect(address).await.unwrap());
        let mut said = String::new();
        // A connection that is refused is closed, perhaps before it is read from.
        let _ = connection.read_line(&mut said).await;
        (connection, said)
    };
    let mut held = Vec::new();
    for _ in 0..limits::FUNCTION_CONNECTIONS_MAX {
        let (connection, said) = connect().await;
        assert_eq!(said, "f\n");
        held.push(connection);
    }
    assert_eq!(connect().await.1, "");
    world.execution.remove(&key());
    for mut connection in held {
        assert!(connection.read_u8().await.is_err(), "it is closed");
    }
}
