//! Streamed responses of the Node.js client.

use serde_json::Value;

use crate::{
    function::{Function, REQUEST_ID, Running, Start},
    interpreters::nodes,
    platform::Request,
};

/// Runs a streaming handler once for each check, then an ordinary end.
fn check(code: &str, checks: &[&dyn Fn(&Request)]) -> Vec<String> {
    let mut log = Vec::new();
    for node in nodes() {
        for runtime in ["nodejs20.x", "nodejs24.x"] {
            let mut running = Function::node(node, Start::Pool)
                .file(
                    "index.js",
                    format!("exports.handler = awslambda.streamifyResponse({code});"),
                )
                .env("AWS_EXECUTION_ENV", &format!("AWS_Lambda_{runtime}"))
                .start();
            for check in checks {
                let request = running.invoke("{\"a\":1}");
                assert_eq!(
                    request.path,
                    format!("/2018-06-01/runtime/invocation/{REQUEST_ID}/response")
                );
                let mode = request.header("Lambda-Runtime-Function-Response-Mode");
                assert_eq!(mode, Some("streaming"));
                check(&request);
            }
            log = end(running);
        }
    }
    log
}

fn end(mut running: Running) -> Vec<String> {
    running.await_question();
    let ended = running.finish();
    assert!(ended.status.success(), "{ended:?}");
    ended
        .log
        .iter()
        .map(|entry| entry.text().to_owned())
        .collect()
}

fn succeeded(request: &Request) {
    assert_eq!(request.trailers, Vec::new());
}

fn error(request: &Request) -> Value {
    use std::process::{Command, Stdio};
    let body = request
        .trailer("Lambda-Runtime-Function-Error-Body")
        .expect("an error's body");
    let mut decode = Command::new("base64")
        .arg("-d")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("run base64");
    let mut stdin = decode.stdin.take().expect("its stdin is a pipe");
    std::io::Write::write_all(&mut stdin, body.as_bytes()).expect("write to base64");
    drop(stdin);
    let json = decode.wait_with_output().expect("wait for base64").stdout;
    let error: Value = serde_json::from_slice(&json).expect("an error is JSON");
    let kind = request.trailer("Lambda-Runtime-Function-Error-Type");
    assert_eq!(error["errorType"].as_str(), kind);
    error
}

#[test]
fn chunks_leave_as_they_are_written() {
    let code = "async (event, stream, context) => {
        stream.setContentType('text/plain');
        stream.write('first ☃');
        await new Promise(r => setTimeout(r, 5));
        stream.write(Buffer.from(' second'));
        stream.write({ third: event.a });
        stream.end(context.awsRequestId.slice(0, 8));
    }";
    let once = |request: &Request| {
        succeeded(request);
        assert_eq!(request.header("Content-Type"), Some("text/plain"));
        let body = String::from_utf8_lossy(&request.body);
        assert_eq!(body, "first ☃ second{\"third\":1}8a4ed1f1");
        assert!(request.chunks.len() >= 2, "{:?}", request.chunks);
    };
    check(code, &[&once, &once]);
}

#[test]
fn a_large_stream_keeps_to_its_pace() {
    let code = "async (event, stream) => {
        const { pipeline } = require('stream/promises');
        const { Readable } = require('stream');
        const part = Buffer.alloc(100_000, 'x');
        let held = 0;
        await pipeline(Readable.from((function* () {
            for (let at = 0; at < 100; at++) {
                held = Math.max(held, stream.writableLength);
                yield part;
            }
        })()), stream);
        if (held > 1_000_000) throw new Error(`${held}`);
    }";
    check(
        code,
        &[&|request| {
            succeeded(request);
            assert_eq!(request.body.len(), 10_000_000);
        }],
    );
}

#[test]
fn an_http_response_has_its_status_before_the_body() {
    for (end, body) in [
        ("stream.write('body'); stream.end();", "body"),
        ("stream.end('body');", "body"),
        ("stream.end();", ""),
    ] {
        let code = format!(
            "async (event, out) => {{
                const stream = awslambda.HttpResponseStream.from(out, {{ statusCode: 418 }});
                {end}
            }}"
        );
        check(
            &code,
            &[&|request| {
                succeeded(request);
                assert_eq!(
                    request.header("Content-Type"),
                    Some("application/vnd.awslambda.http-integration-response")
                );
                let wanted = format!("{{\"statusCode\":418}}{}{body}", "\0".repeat(8));
                assert_eq!(String::from_utf8_lossy(&request.body), wanted);
            }],
        );
    }
}

#[test]
fn an_error_comes_in_trailers() {
    for (code, written, message) in [
        (
            "async () => { throw new RangeError('early'); }",
            "",
            "early",
        ),
        (
            "async (e, stream) => { stream.write('some'); await null; throw new RangeError('late'); }",
            "some",
            "late",
        ),
        (
            "async (e, stream) => { stream.write('some'); stream.destroy(new RangeError('torn')); \
             await require('stream/promises').finished(stream); }",
            "",
            "torn",
        ),
    ] {
        let once = |request: &Request| {
            let error = error(request);
            assert_eq!(error["errorType"], "RangeError");
            assert_eq!(error["errorMessage"], message);
            assert!(error["trace"].is_array());
            if !written.is_empty() {
                assert_eq!(request.body, written.as_bytes());
            }
        };
        let log = check(code, &[&once, &once]);
        assert!(
            log[0].contains("\tERROR\tInvoke Error \t{\"errorType\":\"RangeError\""),
            "{log:?}"
        );
    }
}

/// Servers take sixteen kilobytes of trailers, some less.
#[test]
fn the_error_in_trailers_is_bounded() {
    for (code, kept) in [
        (
            "const e = new RangeError('many'); e.stack = ('at x\\n').repeat(20_000); throw e;",
            10,
        ),
        ("throw new RangeError('m'.repeat(100_000));", 0),
    ] {
        let once = |request: &Request| {
            let error = error(request);
            assert_eq!(error["errorType"], "RangeError");
            let trace = error["trace"].as_array().expect("a list");
            assert_eq!(trace.len(), kept);
            let body = request.trailer("Lambda-Runtime-Function-Error-Body");
            assert!(body.is_some_and(|body| body.len() < 12 * 1024));
        };
        check(&format!("async () => {{ {code} }}"), &[&once]);
    }
}

#[test]
fn what_does_not_end_is_an_error() {
    for (code, message) in [
        (
            "(e, stream) => { stream.write('x'); }",
            "Streaming does not support non-async handlers.",
        ),
        (
            "async (e, stream) => { stream.write('x'); }",
            "Response stream is not finished.",
        ),
        (
            "async (e, stream) => { await new Promise(() => {}); }",
            "unexpected Node.js exit code",
        ),
    ] {
        let once = |request: &Request| {
            let error = error(request);
            let said = error["errorMessage"].as_str().expect("a message");
            assert!(said.contains(message), "{said}");
        };
        check(code, &[&once, &once]);
    }
}

#[test]
fn an_uncaught_error_ends_the_stream_and_the_process() {
    for node in nodes() {
        let mut running = Function::node(node, Start::Plain)
            .file(
                "index.js",
                "exports.handler = awslambda.streamifyResponse(async (e, stream) => {
                    stream.write('x');
                    setTimeout(() => { throw new RangeError('aside'); }, 1);
                    await new Promise(r => setTimeout(r, 1e6));
                });",
            )
            .start();
        let request = running.invoke("{}");
        assert_eq!(error(&request)["errorMessage"], "aside");
        assert_eq!(running.wait().status.code(), Some(129));
    }
}
