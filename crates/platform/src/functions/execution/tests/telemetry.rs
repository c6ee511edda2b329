//! What extensions are told of their environment's log.

use std::io::Write;

use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{
    extensions::{Caller, Said},
    *,
};

const TELEMETRY: &str = "/2022-07-01/telemetry";
const LOGS: &str = "/2020-08-15/logs";

async fn subscribe(extension: &mut Caller, path: &str, wanted: &Value) -> Said {
    let said = extension.call("PUT", path, "", &wanted.to_string()).await;
    said.unwrap()
}

/// A runtime with an extension inside, which subscribes by `path` and then answers requests; each
/// says a line.
fn subscribing(path: &'static str, wanted: Value, said: mpsc::UnboundedSender<Said>) -> Fake {
    Fake::new(move |mut start: Start| {
        let (wanted, said) = (wanted.clone(), said.clone());
        async move {
            let mut runtime = Client::connect(&start).await.unwrap();
            let mut extension = Caller::connect(&start).await.unwrap();
            extension.register("inside", &["INVOKE"]).await.unwrap();
            for _ in 0..2 {
                let _ = said.send(subscribe(&mut extension, path, &wanted).await);
            }
            let listens = async {
                loop {
                    extension.event().await?;
                    let _ = said.send(subscribe(&mut extension, path, &wanted).await);
                }
            };
            let answers = async {
                loop {
                    let request_id = runtime.next().await?;
                    writeln!(start.log, "called")?;
                    runtime.respond(&request_id, "1").await?;
                }
            };
            let _: (io::Result<()>, io::Result<()>) = tokio::join!(listens, answers);
            GONE
        }
    })
}

/// Takes one request by HTTP; gives its head and its body.
async fn take_request(listener: &TcpListener) -> (String, Vec<Value>) {
    let (connection, _) = listener.accept().await.unwrap();
    let mut connection = BufReader::new(connection);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        connection.read_line(&mut line).await.unwrap();
        if let Some(("content-length", value)) = line.trim_end().split_once(": ") {
            length = value.parse().unwrap();
        }
        if line.trim_end().is_empty() {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).await.unwrap();
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    connection.get_mut().write_all(answer).await.unwrap();
    (head, serde_json::from_slice(&body).unwrap())
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn by_http_an_extension_is_told_everything_from_the_init_on() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let wanted = json!({
        "schemaVersion": "2022-12-13",
        "types": ["platform", "function", "extension"],
        "buffering": {"timeoutMs": 25},
        "destination": {
            "protocol": "HTTP", "URI": format!("http://sandbox.localdomain:{port}/told"),
        },
    });
    let (said, mut answers) = mpsc::unbounded_channel();
    let world = World::new(subscribing(TELEMETRY, wanted, said), limited(1)).await;
    world.deploy(0).await;
    assert_eq!(world.invoke().await.unwrap().payload, "1");
    let mut told = Vec::new();
    while !kinds(&told).contains(&"platform.report") {
        let (head, batch) = take_request(&listener).await;
        assert!(head.starts_with("POST /told HTTP/1.1\r\n"), "{head}");
        assert!(head.contains(&format!("host: sandbox.localdomain:{port}")));
        told.extend(batch);
    }
    assert_eq!(
        kinds(&told),
        [
            "platform.initStart",
            "platform.telemetrySubscription",
            "platform.extension",
            "platform.initRuntimeDone",
            "platform.initReport",
            "platform.start",
            "function",
            "platform.runtimeDone",
            "platform.report",
        ]
    );
    assert_eq!(told[0]["record"]["initializationType"], "on-demand");
    assert_eq!(
        told[1]["record"],
        json!({
            "name": "inside", "state": "Subscribed",
            "types": ["platform", "function", "extension"],
        })
    );
    assert_eq!(told[2]["record"]["events"], json!(["INVOKE"]));
    assert_eq!(told[6]["record"], "called");
    assert_eq!(
        told[5]["record"]["requestId"],
        told[8]["record"]["requestId"]
    );
    assert_eq!(told[8]["record"]["status"], "success");
    // It was taken, taken for the same, and too late.
    for (status, body) in [
        (200, json!("OK")),
        (200, json!("OK")),
        (
            403,
            json!({
                "errorType": "Telemetry.SubscriptionClosed",
                "errorMessage": "Telemetry API subscription is closed",
            }),
        ),
    ] {
        let answer = answers.recv().await.unwrap();
        assert_eq!((answer.status, answer.body), (status, body));
    }
}

#[tokio::test]
async fn by_tcp_the_older_api_has_its_own_shapes() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let wanted = json!({
        "schemaVersion": "2021-03-18",
        "types": ["platform"],
        "buffering": {"timeoutMs": 25},
        "destination": {"protocol": "TCP", "port": listener.local_addr().unwrap().port()},
    });
    let (said, _answers) = mpsc::unbounded_channel();
    let world = World::new(subscribing(LOGS, wanted, said), limited(1)).await;
    world.deploy(0).await;
    world.invoke().await.unwrap();
    let (connection, _) = listener.accept().await.unwrap();
    let mut lines = BufReader::new(connection).lines();
    let mut told: Vec<Value> = Vec::new();
    while !kinds(&told).contains(&"platform.report") {
        let line = lines.next_line().await.unwrap().unwrap();
        told.push(serde_json::from_str(&line).unwrap());
    }
    assert_eq!(
        kinds(&told),
        [
            "platform.logsSubscription",
            "platform.extension",
            "platform.start",
            "platform.runtimeDone",
            "platform.end",
            "platform.report",
        ]
    );
    let id = &told[2]["record"]["requestId"];
    assert_eq!(
        told[2]["record"],
        json!({"requestId": id, "version": "$LATEST"})
    );
    assert_eq!(
        told[3]["record"],
        json!({"requestId": id, "status": "success"})
    );
    assert_eq!(told[4]["record"], json!({"requestId": id}));
    assert_eq!(told[5]["record"]["metrics"]["memorySizeMB"], 128);
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let wanted = json!({"schemaVersion": "2022-07-01", "types": ["platform"], "destination": {
        "protocol": "HTTP", "URI": "http://sandbox.localdomain",
    }});
    let (said, mut answers) = mpsc::unbounded_channel();
    let world = World::new(subscribing(TELEMETRY, wanted, said), limited(1)).await;
    world.deploy(0).await;
    world.invoke().await.unwrap();
    let answer = answers.recv().await.unwrap();
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.body,
        json!({
            "errorType": "ValidationError", "errorMessage": "URI port is not provided",
        })
    );
}
