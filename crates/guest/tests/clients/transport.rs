//! Both clients on the wire: one socket, one write per turn, sizes, odd servers, and the end.

use std::time::Instant;

use serde_json::{Value, json};

use crate::{
    expect::check_error,
    function::{Function, REQUEST_ID, Start},
    interpreters::{nodes, pythons},
};

/// An echo in both languages, on every interpreter.
fn echoes() -> Vec<Function> {
    functions(
        "def handler(event, context): return event\n",
        "exports.handler = async event => event;",
    )
}

fn functions(python: &str, node: &str) -> Vec<Function> {
    let pythons = pythons()
        .iter()
        .map(|found| Function::python(found, Start::Fork).file("app.py", python));
    let nodes = nodes()
        .iter()
        .map(|found| Function::node(found, Start::Pool).file("index.js", node));
    pythons.chain(nodes).collect()
}

fn echoed(body: &[u8]) -> Value {
    serde_json::from_slice(body).expect("an echo is JSON")
}

const HEAD: &str = "Lambda-Runtime-Aws-Request-Id: 8a4ed1f1-22d9-4d65-9a30-0e6d0b2f6d1a\r\n\
                    Lambda-Runtime-Deadline-Ms: 99999999999999\r\n\
                    CONTENT-TYPE: application/json\r\n";

#[test]
fn the_response_and_the_next_question_come_together() {
    for function in echoes() {
        let mut running = function.start();
        running.deliver(b"{\"a\":1}", &[]);
        let response = running.platform.request().expect("the response");
        assert_eq!(response.header("Content-Type"), Some("application/json"));
        assert_eq!(echoed(&response.body), json!({ "a": 1 }));
        // Nothing has been answered, and the question is here.
        running.await_question();
        // Both answers in one piece.
        running.platform.accept();
        assert_eq!(echoed(&running.invoke("2").body), json!(2));
        assert!(running.finish().status.success());
    }
}

#[test]
fn answers_come_in_pieces_and_in_chunks() {
    for function in echoes() {
        let mut running = function.start();
        // Byte by byte.
        running.await_question();
        let body = r#"{"piece":"☃"}"#;
        let whole = format!(
            "HTTP/1.1 200 OK\r\n{HEAD}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        for byte in whole.as_bytes() {
            running.platform.send(&[*byte]);
        }
        let request = running.platform.request().expect("the response");
        assert_eq!(echoed(&request.body), json!({ "piece": "☃" }));
        let request = running.platform.request().expect("the question");
        assert!(request.path.ends_with("/next"));
        // The acceptance and the event in one piece, the event in chunks, with an extension and a
        // trailer; then the same byte by byte.
        let whole = format!(
            "HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\
             HTTP/1.1 200 OK\r\n{HEAD}transfer-encoding: Chunked\r\n\r\n\
             5;x=y\r\n{{\"ch\"\r\nA\r\n:[1,2,3,4]\r\n1\r\n}}\r\n0\r\nX-Trailer: 1\r\n\r\n"
        );
        for size in [whole.len(), 1] {
            for piece in whole.as_bytes().chunks(size) {
                running.platform.send(piece);
            }
            let request = running.platform.request().expect("the response");
            assert_eq!(echoed(&request.body), json!({ "ch": [1, 2, 3, 4] }));
            let request = running.platform.request().expect("the question");
            assert!(request.path.ends_with("/next"));
        }
        running.platform.accept();
        running.platform.send(b"HTTP/1.1 100 Continue\r\n\r\n");
        running
            .platform
            .answer("200 OK", &[("lambda-runtime-aws-request-id", "x")], b"7");
        let request = running.platform.request().expect("the response");
        assert_eq!(
            (request.path.as_str(), request.body.as_slice()),
            ("/2018-06-01/runtime/invocation/x/response", b"7".as_slice())
        );
        running.platform.accept();
        assert!(running.finish().status.success());
    }
}

#[test]
fn large_events_and_responses() {
    for function in echoes() {
        let mut running = function.start();
        for size in [200_000, 270_000, 6_291_556 - 2] {
            let text = "x".repeat(size);
            let event = format!("\"{text}\"");
            let body = running.invoke(&event).body;
            assert_eq!(body.len(), event.len());
            assert!(body == event.as_bytes());
        }
        // Many chunks, too.
        running.await_question();
        let mut whole = format!("HTTP/1.1 200 OK\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n");
        whole += "1\r\n\"\r\n";
        for _ in 0..60 {
            whole += &format!("{:x}\r\n{}\r\n", 100_000, "y".repeat(100_000));
        }
        whole += "1\r\n\"\r\n0\r\n\r\n";
        running.platform.send(whole.as_bytes());
        let request = running.platform.request().expect("the response");
        assert_eq!(request.body.len(), 6_000_002);
        running.platform.accept();
        assert!(running.finish().status.success());
    }
}

/// The platform says so (413) and may hang up before it has read all.
#[test]
fn a_response_that_is_too_large() {
    let refusal = json!({
        "errorMessage": "Exceeded maximum allowed payload size (6291556 bytes).",
        "errorType": "RequestEntityTooLarge",
    });
    for hang_up in [false, true] {
        let functions = functions(
            "def handler(event, context): return 'x' * event['size']\n",
            "exports.handler = async event => 'x'.repeat(event.size);",
        );
        for function in functions {
            let mut running = function.start();
            running.deliver(br#"{"size": 7000000}"#, &[]);
            let response = running.platform.request().expect("the response");
            assert_eq!(response.body.len(), 7_000_002);
            let headers: &[_] = if hang_up {
                &[("Connection", "close")]
            } else {
                &[]
            };
            running.platform.answer(
                "413 Payload Too Large",
                headers,
                refusal.to_string().as_bytes(),
            );
            if hang_up {
                running.platform.hang_up();
            }
            let error = running.platform.request().expect("the error");
            assert_eq!(
                error.path,
                format!("/2018-06-01/runtime/invocation/{REQUEST_ID}/error")
            );
            let text =
                String::from_utf8_lossy(&error.body).replace("\"trace\":[]", "\"stackTrace\":[]");
            assert!(text.contains("6291556"), "{text}");
            assert_eq!(
                error.header("Lambda-Runtime-Function-Error-Type"),
                Some("Function.ResponseSizeTooLarge")
            );
            running.platform.accept();
            // It goes on.
            assert_eq!(running.invoke(r#"{"size": 1}"#).body, b"\"x\"");
            let ended = running.finish();
            assert!(ended.status.success());
            let said = ended
                .log
                .iter()
                .any(|entry| entry.text().contains("Function.ResponseSizeTooLarge"));
            assert!(said, "{ended:?}");
        }
    }
}

/// A response that comes too late, or twice: said in the log, and nothing more.
#[test]
fn a_response_that_is_refused() {
    for function in echoes() {
        let mut running = function.start();
        running.deliver(b"1", &[]);
        running.platform.request().expect("the response");
        let refusal = br#"{"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}"#;
        running.platform.answer("400 Bad Request", &[], refusal);
        assert_eq!(running.invoke("2").body, b"2");
        let ended = running.finish();
        assert!(ended.status.success());
        let text = ended.log[0].text();
        assert!(
            text.contains("refused a response: 400") && text.contains("InvalidRequestID"),
            "{text}"
        );
    }
}

#[test]
fn a_server_that_closes_after_each_answer() {
    for function in echoes() {
        let mut running = function.start();
        for round in 0..3 {
            let question = running.platform.request().expect("the question");
            assert!(question.path.ends_with("/next"));
            let headers = [
                ("Lambda-Runtime-Aws-Request-Id", REQUEST_ID),
                ("Connection", "close"),
            ];
            running
                .platform
                .answer("200 OK", &headers, round.to_string().as_bytes());
            running.platform.hang_up();
            let response = running.platform.request().expect("the response");
            assert_eq!(response.body, round.to_string().as_bytes());
            running
                .platform
                .answer("202 Accepted", &[("Connection", "Close")], b"");
            running.platform.hang_up();
        }
        let question = running.platform.request().expect("the question");
        assert!(question.path.ends_with("/next"));
        assert!(running.finish().status.success());
    }
}

#[test]
fn a_server_that_hangs_up_ends_it_quietly() {
    for function in echoes() {
        let mut running = function.start();
        running.await_question();
        let ended = running.finish();
        assert!(ended.status.success(), "{ended:?}");
        assert!(ended.log.is_empty(), "{ended:?}");
    }
}

#[test]
fn a_server_that_talks_nonsense_ends_it_with_a_word() {
    for nonsense in [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 OK\r\n\r\n",
        "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\noops",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabcdef\r\n",
        "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: a b\r\nContent-Length: 2\r\n\r\n{}",
    ] {
        for function in echoes() {
            let mut running = function.start();
            running.await_question();
            running.platform.send(nonsense.as_bytes());
            let ended = running.wait();
            assert_eq!(ended.status.code(), Some(1), "{nonsense:?}: {ended:?}");
            assert!(
                ended.log[0].text().contains("Runtime API"),
                "{nonsense:?}: {ended:?}"
            );
        }
    }
}

#[test]
fn nobody_to_talk_to() {
    for function in echoes() {
        let mut running = function.start();
        running.await_question();
        drop(running);
    }
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind to loopback");
        listener
            .local_addr()
            .expect("a bound socket has an address")
            .to_string()
    };
    for address in [closed.as_str(), "nonsense"] {
        for python in pythons() {
            let bootstrap = concat!(env!("CARGO_MANIFEST_DIR"), "/python/bootstrap.py");
            let output = std::process::Command::new(&python.path)
                .args(["-I", "-S", "-B", bootstrap])
                .env_clear()
                .env("AWS_LAMBDA_RUNTIME_API", address)
                .env("_HANDLER", "json.dumps")
                .output()
                .expect("run it");
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            assert!(
                String::from_utf8_lossy(&output.stderr).starts_with("[ERROR] "),
                "{output:?}"
            );
        }
    }
}

/// An error's name is anybody's choice; it must not become a header of its own.
#[test]
fn an_error_type_is_no_way_into_the_header() {
    let functions = functions(
        "def handler(event, context): raise type('A\\r\\nX-Evil: 1 ☃', (Exception,), {})('m')\n",
        "exports.handler = async () => { const e = new Error('m'); e.name = 'A\\r\\nX-Evil: 1 ☃'; throw e; };",
    );
    for function in functions {
        let mut running = function.start();
        let request = running.invoke("{}");
        assert_eq!(request.header("X-Evil"), None);
        let kind = request.header("Lambda-Runtime-Function-Error-Type");
        assert_eq!(kind, Some("A??X-Evil:?1??"));
        assert_eq!(echoed(&request.body)["errorType"], "A\r\nX-Evil: 1 ☃");
        assert!(running.finish().status.success());
    }
}

/// Not a measurement, but a pipelined turn that waits for something shows here at once.
#[test]
fn a_warm_turn_is_quick() {
    for function in echoes() {
        let mut running = function.start();
        for _ in 0..20 {
            running.invoke("{}");
        }
        let mut turns: Vec<_> = (0..100)
            .map(|_| {
                let start = Instant::now();
                running.invoke("{}");
                start.elapsed()
            })
            .collect();
        turns.sort();
        // Delayed acknowledgements would take 40 ms.
        assert!(turns[50].as_millis() < 20, "{turns:?}");
        assert!(running.finish().status.success());
    }
}

#[test]
fn errors_have_the_same_road() {
    let functions = functions(
        "def handler(event, context): raise ValueError('x' * event)\n",
        "exports.handler = async event => { const e = new Error('x'.repeat(event)); e.name = 'ValueError'; throw e; };",
    );
    for function in functions {
        let mut running = function.start();
        for size in [1, 40_000, 300_000] {
            let request = running.invoke(&size.to_string());
            let wanted = "x".repeat(size);
            check_error("", &request, "ValueError", &wanted, "");
            // A cause that is too long for a header stays out of it.
            let cause = request.header("Lambda-Runtime-Function-XRay-Error-Cause");
            assert_eq!(cause.is_some(), size == 1);
        }
        assert!(running.finish().status.success());
    }
}
