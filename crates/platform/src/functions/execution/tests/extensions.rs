//! Extensions beside a runtime: the environment waits for them, and they are told of its end.

use sandbox::SUPERVISOR_PREFIX;
use serde_json::{Value, json};

use super::*;

/// A connection of an extension, or of what starts it.
pub struct Caller {
    connection: BufReader<TcpStream>,
    id: String,
}

pub struct Said {
    pub status: u16,
    pub body: Value,
}

impl Caller {
    pub async fn connect(start: &Start) -> io::Result<Self> {
        let connection = TcpStream::connect(start.runtime_api).await?;
        Ok(Self {
            connection: BufReader::new(connection),
            id: String::new(),
        })
    }

    pub async fn call(
        &mut self,
        method: &str,
        path: &str,
        more: &str,
        body: &str,
    ) -> io::Result<Said> {
        let (length, id) = (body.len(), &self.id);
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\
             lambda-extension-identifier: {id}\r\n{more}\r\n{body}"
        );
        self.connection
            .get_mut()
            .write_all(request.as_bytes())
            .await?;
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            if self.connection.read_line(&mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match line.trim_end().split_once(": ") {
                Some(("content-length", value)) => length = value.parse().unwrap(),
                Some(("lambda-extension-identifier", value)) => self.id = value.into(),
                Some(_) => {}
                None if line.trim_end().is_empty() => break,
                None => status = line.split(' ').nth(1).unwrap().parse().unwrap(),
            }
        }
        let mut body = vec![0; length];
        self.connection.read_exact(&mut body).await?;
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Ok(Said { status, body })
    }

    pub async fn register(&mut self, name: &str, events: &[&str]) -> io::Result<Said> {
        let name = format!("lambda-extension-name: {name}\r\n");
        let body = json!({"events": events}).to_string();
        let path = "/2020-01-01/extension/register";
        self.call("POST", path, &name, &body).await
    }

    pub async fn event(&mut self) -> io::Result<Value> {
        let path = "/2020-01-01/extension/event/next";
        Ok(self.call("GET", path, "", "").await?.body)
    }

    pub async fn supervise(&mut self, method: &str, call: &str, body: &str) -> io::Result<u16> {
        let path = format!("{SUPERVISOR_PREFIX}{call}");
        Ok(self.call(method, &path, "", body).await?.status)
    }
}

/// A runtime with an extension inside, which asks for its events when it is let go: the gate counts
/// how often it may. `answered` counts what the runtime has answered.
fn with_an_extension(gate: &watch::Sender<usize>, answered: Arc<AtomicUsize>) -> Fake {
    let gate = gate.subscribe();
    Fake::new(move |start: Start| {
        let (mut gate, answered) = (gate.clone(), answered.clone());
        async move {
            let mut runtime = Client::connect(&start).await.unwrap();
            let mut extension = Caller::connect(&start).await.unwrap();
            let said = extension.register("inside", &["INVOKE"]).await.unwrap();
            assert_eq!(said.body["functionName"], "f");
            let listens = async {
                for asked in 1.. {
                    let _ = gate.wait_for(|allowed| *allowed >= asked).await;
                    assert_eq!(extension.event().await?["eventType"], "INVOKE");
                }
                io::Result::Ok(())
            };
            let answers = async {
                loop {
                    let request_id = runtime.next().await?;
                    runtime.respond(&request_id, "1").await?;
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            };
            let _: (io::Result<()>, io::Result<()>) = tokio::join!(listens, answers);
            GONE
        }
    })
}

#[tokio::test]
async fn an_init_and_an_invocation_end_when_the_extension_asks_for_more() {
    let (gate, answered) = (watch::channel(0).0, Arc::<AtomicUsize>::default());
    let world = World::new(with_an_extension(&gate, answered.clone()), limited(1)).await;
    world.deploy(0).await;
    let execution = world.execution.clone();
    let request = tokio::spawn(async move { invoke(&execution).await });
    until(|| world.count(EnvironmentState::Busy) == 1).await;
    gate.send_replace(1);
    until(|| answered.load(Ordering::SeqCst) == 1).await;
    // The function has answered; its extension is not done.
    assert!(!request.is_finished());
    gate.send_replace(2);
    assert_eq!(request.await.unwrap().unwrap().payload, "1");
    until(|| world.count(EnvironmentState::Busy) == 0).await;
    gate.send_replace(3);
    assert_eq!(world.invoke().await.unwrap().payload, "1");
    assert_eq!(world.fake.started(), 1);
}

#[tokio::test]
async fn an_extension_that_gives_up_ends_the_invocation() {
    let world = World::new(
        Fake::new(|start: Start| async move {
            let mut runtime = Client::connect(&start).await.unwrap();
            let mut extension = Caller::connect(&start).await.unwrap();
            extension.register("inside", &["INVOKE"]).await.unwrap();
            let fails = async {
                extension.event().await?;
                let path = "/2020-01-01/extension/exit/error";
                assert_eq!(extension.call("POST", path, "", "").await?.status, 403);
                let kind = "lambda-extension-function-error-type: Extension.Odd\r\n";
                assert_eq!(extension.call("POST", path, kind, "").await?.status, 202);
                std::future::pending::<io::Result<()>>().await
            };
            let _ = tokio::join!(fails, runtime.next());
            GONE
        }),
        limited(1),
    )
    .await;
    world.deploy(0).await;
    for started in [1, 2] {
        let outcome = world.invoke().await.unwrap();
        let error: Value = serde_json::from_slice(&outcome.payload).unwrap();
        assert_eq!(error["errorType"], "Extension.ExitError");
        let message = error["errorMessage"].as_str().unwrap();
        assert!(
            message.ends_with("extension inside: Extension.Odd"),
            "{message}"
        );
        assert_eq!(world.fake.started(), started);
    }
    until(|| world.fake.alive() == 0).await;
}

#[tokio::test]
async fn external_ones_register_before_the_runtime_starts_and_learn_of_the_end() {
    let (told, events) = std::sync::mpsc::channel();
    let told = Arc::new(std::sync::Mutex::new(told));
    let world = World::new(
        Fake::new(move |start: Start| {
            let told = told.clone();
            async move {
                let mut supervisor = Caller::connect(&start).await.unwrap();
                let mut extension = Caller::connect(&start).await.unwrap();
                let found = supervisor.supervise("POST", "found", "agent").await;
                assert_eq!(found.unwrap(), 200);
                let (registered, _) = tokio::join!(
                    supervisor.supervise("GET", "registered", ""),
                    extension.register("agent", &["INVOKE", "SHUTDOWN"]),
                );
                assert_eq!(registered.unwrap(), 200);
                let mut runtime = Client::connect(&start).await.unwrap();
                let listens = async {
                    loop {
                        let event = extension.event().await?;
                        told.lock().unwrap().send(event.clone()).unwrap();
                        if event["eventType"] == "SHUTDOWN" {
                            return io::Result::Ok(());
                        }
                    }
                };
                let answers = async {
                    loop {
                        let request_id = runtime.next().await?;
                        runtime.respond(&request_id, "1").await?;
                    }
                };
                let ends = async {
                    assert_eq!(supervisor.supervise("GET", "terminate", "").await?, 200);
                    supervisor.supervise("POST", "runtime", "signal 15").await
                };
                let runtime = async {
                    let _: Result<io::Result<()>, _> = tokio::select! {
                        ended = answers => Ok(ended),
                        ended = ends => Err(ended),
                    };
                    io::Result::Ok(())
                };
                let _ = tokio::join!(listens, runtime);
                let mut supervisor = Caller::connect(&start).await.unwrap();
                let _ = supervisor
                    .supervise("POST", "extension", "agent\ncode 0")
                    .await;
                std::future::pending().await
            }
        }),
        limited(1),
    )
    .await;
    world.deploy(0).await;
    assert_eq!(world.invoke().await.unwrap().payload, "1");
    assert_eq!(events.recv().unwrap()["eventType"], "INVOKE");
    world.execution.drain(Duration::from_secs(60)).await;
    let end = events.recv().unwrap();
    assert_eq!(end["eventType"], "SHUTDOWN");
    assert_eq!(end["shutdownReason"], "SPINDOWN");
    until(|| world.fake.alive() == 0).await;
}

#[tokio::test]
async fn a_crash_of_an_external_one_is_the_init_s_error() {
    let world = World::new(
        Fake::new(|start: Start| async move {
            let mut supervisor = Caller::connect(&start).await.unwrap();
            let _ = supervisor.supervise("POST", "found", "agent").await;
            let _ = supervisor
                .supervise("POST", "extension", "agent\nsignal 9")
                .await;
            std::future::pending().await
        }),
        limited(1),
    )
    .await;
    world.deploy(0).await;
    let outcome = world.invoke().await.unwrap();
    let error: Value = serde_json::from_slice(&outcome.payload).unwrap();
    assert_eq!(error["errorType"], "Extension.Crash");
    // It was begun anew, once.
    assert_eq!(world.fake.started(), 2);
    until(|| world.fake.alive() == 0).await;
}
