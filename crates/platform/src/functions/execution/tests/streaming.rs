//! Callers who take the response piece by piece, from an invocation to its end.

use super::*;

const OPEN: &str = "lambda-runtime-function-response-mode: streaming\r\n\
    content-type: text/plain\r\ntransfer-encoding: chunked\r\n";

impl Client {
    /// Begins a response, with its first piece.
    async fn open(&mut self, request_id: &str, piece: &str) -> io::Result<()> {
        let path = format!("/2018-06-01/runtime/invocation/{request_id}/response");
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{OPEN}\r\n");
        self.0.get_mut().write_all(head.as_bytes()).await?;
        self.piece(piece).await
    }

    async fn piece(&mut self, piece: &str) -> io::Result<()> {
        let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
        self.0.get_mut().write_all(chunk.as_bytes()).await
    }

    async fn close(&mut self) -> io::Result<()> {
        self.0.get_mut().write_all(b"0\r\n\r\n").await?;
        self.answer().await.map(drop)
    }
}

/// Writes one piece of every response, and the next when it is let go.
fn writing(gate: &watch::Sender<bool>) -> Fake {
    let gate = gate.subscribe();
    Fake::new(move |start: Start| {
        let mut gate = gate.clone();
        async move {
            let answers = async {
                let mut client = Client::connect(&start).await?;
                loop {
                    let request_id = client.next().await?;
                    client.open(&request_id, "first").await?;
                    let _ = gate.wait_for(|open| *open).await;
                    client.piece("second").await?;
                    client.close().await?;
                }
            };
            let _: io::Result<()> = answers.await;
            GONE
        }
    })
}

fn invocation() -> Invocation {
    Invocation {
        request_id: uuid::Uuid::new_v4().to_string(),
        payload: Bytes::from_static(b"{}"),
        client_context: None,
        cognito_identity: None,
        invoked_function_arn: String::new(),
        trace_id: None,
        log_tail: true,
    }
}

type Ended = oneshot::Receiver<Option<FunctionError>>;

/// A response that has begun, and word of its end.
async fn begun(world: &World) -> (ResponseStream, Ended) {
    let (end, ended) = oneshot::channel();
    let told = move |outcome: Result<&Outcome, &InvokeError>| {
        let _ = end.send(outcome.unwrap().error);
    };
    let invoked = world
        .execution
        .stream(&key_of("$LATEST"), invocation(), told)
        .await;
    match invoked.unwrap() {
        Invoked::Streamed(mut response) => {
            assert_eq!(chunk(&mut response).await, "first");
            (response, ended)
        }
        Invoked::Whole(outcome) => panic!("{outcome:?}"),
    }
}

async fn chunk(response: &mut ResponseStream) -> Bytes {
    match response.part().await {
        Part::Chunk(chunk) => chunk,
        Part::End(_) => panic!("it has ended"),
    }
}

async fn end(response: &mut ResponseStream) -> Outcome {
    match response.part().await {
        Part::End(finished) => finished.unwrap().outcome,
        Part::Chunk(chunk) => panic!("{chunk:?}"),
    }
}

fn report(outcome: &Outcome) -> String {
    let log = outcome.log_tail.clone().unwrap();
    let log = String::from_utf8(log).unwrap();
    let report = log.lines().find(|line| line.starts_with("REPORT "));
    report.expect("it is reported").to_owned()
}

#[tokio::test]
async fn a_caller_reads_while_the_function_writes() {
    let gate = watch::channel(false).0;
    let world = World::new(writing(&gate), limited(1000)).await;
    world.deploy(0).await;
    let (mut response, ended) = begun(&world).await;
    assert_eq!(response.content_type.clone().unwrap(), "text/plain");
    assert_eq!(world.count(EnvironmentState::Busy), 1);
    assert_eq!(world.execution.concurrency(&key().account_id), 1);
    gate.send_replace(true);
    assert_eq!(chunk(&mut response).await, "second");
    let outcome = end(&mut response).await;
    assert!(outcome.error.is_none() && outcome.payload.is_empty());
    assert!(report(&outcome).contains("Billed Duration: "));
    assert_eq!(ended.await, Ok(None));
    until(|| world.count(EnvironmentState::Busy) == 0).await;
    assert_eq!(world.execution.concurrency(&key().account_id), 0);
    // It takes the next one.
    begun(&world).await;
    assert_eq!(world.fake.started(), 1);
}

#[tokio::test]
async fn a_caller_that_leaves_does_not_end_the_function() {
    let gate = watch::channel(false).0;
    let world = World::new(writing(&gate), limited(1000)).await;
    world.deploy(0).await;
    let (response, mut ended) = begun(&world).await;
    drop(response);
    assert!(ended.try_recv().is_err());
    gate.send_replace(true);
    assert_eq!(ended.await, Ok(None));
    until(|| world.count(EnvironmentState::Busy) == 0).await;
    assert_eq!(world.execution.environments().len(), 1);
    assert_eq!(world.execution.concurrency(&key().account_id), 0);
}

#[tokio::test]
async fn a_function_that_does_not_finish_in_time_is_ended_half_way() {
    let gate = watch::channel(false).0;
    let world = World::new(writing(&gate), limited(1000)).await;
    let in_time = Definition {
        timeout_s: 1,
        ..definition(0)
    };
    world.execution.deploy(in_time).await.unwrap();
    let (mut response, ended) = begun(&world).await;
    let outcome = end(&mut response).await;
    let error = String::from_utf8(outcome.payload.to_vec()).unwrap();
    assert!(
        error.contains("Task timed out after 1.00 seconds"),
        "{error}"
    );
    assert!(report(&outcome).contains("Billed Duration: 1"));
    assert_eq!(ended.await, Ok(Some(FunctionError::Unhandled)));
    until(|| world.fake.alive() == 0).await;
}

#[tokio::test]
async fn a_function_that_ends_half_way_is_an_error_after_its_last_piece() {
    let world = World::new(
        Fake::new(|start: Start| async move {
            let writes = async {
                let mut client = Client::connect(&start).await?;
                let request_id = client.next().await?;
                client.open(&request_id, "first").await?;
                client.piece("last").await
            };
            let _: io::Result<()> = writes.await;
            GONE
        }),
        limited(1000),
    )
    .await;
    world.deploy(0).await;
    let invoked = world
        .execution
        .stream(&key_of("$LATEST"), invocation(), |_| ())
        .await;
    let Ok(Invoked::Streamed(mut response)) = invoked else {
        panic!("it has not begun");
    };
    let mut read = Vec::new();
    let outcome = loop {
        match response.part().await {
            Part::Chunk(chunk) => read.extend_from_slice(&chunk),
            Part::End(finished) => break finished.unwrap().outcome,
        }
    };
    assert_eq!(read, b"firstlast");
    let error = String::from_utf8(outcome.payload.to_vec()).unwrap();
    assert!(error.contains("Runtime.ExitError"), "{error}");
}

#[tokio::test]
async fn a_drain_waits_for_what_is_being_written() {
    let gate = watch::channel(false).0;
    let world = World::new(writing(&gate), limited(1000)).await;
    world.deploy(0).await;
    let (mut response, ended) = begun(&world).await;
    let execution = world.execution.clone();
    let drain = tokio::spawn(async move { execution.drain(Duration::from_secs(60)).await });
    until(|| world.execution.inner.draining.load(Ordering::SeqCst)).await;
    gate.send_replace(true);
    assert_eq!(chunk(&mut response).await, "second");
    assert!(end(&mut response).await.error.is_none());
    assert_eq!(ended.await, Ok(None));
    drain.await.unwrap();
}

#[tokio::test]
async fn what_comes_whole_is_given_whole() {
    let world = World::new(Fake::new(serve), limited(1)).await;
    world.deploy(7).await;
    let (end, ended) = oneshot::channel();
    let told = move |outcome: Result<&Outcome, &InvokeError>| {
        let _ = end.send(outcome.is_ok());
    };
    let invoked = world
        .execution
        .stream(&key_of("$LATEST"), invocation(), told)
        .await;
    assert!(matches!(invoked, Ok(Invoked::Whole(outcome)) if outcome.payload == "7"));
    assert_eq!(ended.await, Ok(true));

    world.execution.remove(&key());
    let (end, ended) = oneshot::channel();
    let told = move |outcome: Result<&Outcome, &InvokeError>| {
        let _ = end.send(outcome.is_ok());
    };
    let refused = world
        .execution
        .stream(&key_of("$LATEST"), invocation(), told)
        .await;
    assert!(matches!(refused, Err(InvokeError::NotDeployed)));
    assert_eq!(ended.await, Ok(false));
}
