//! Lambda's answer of events: its head, and each event as a reader of event streams takes it apart.

use bytes::Bytes;
use http::Request;
use wire::{
    Call, Context, EVENT_STREAM, Router, Timestamp, encode_event,
    lambda::{
        self, InvokeResponseStreamUpdate, InvokeWithResponseStreamCompleteEvent,
        InvokeWithResponseStreamRequest, InvokeWithResponseStreamResponse,
        InvokeWithResponseStreamResponseEvent,
    },
    schema::Operation,
};

fn operation() -> &'static Operation {
    let found = lambda::SERVICE.operation("InvokeWithResponseStream");
    found.expect("Lambda has it")
}

/// Takes a message apart by the format's description, checksums included.
fn message(bytes: &[u8]) -> (Vec<(String, String)>, Vec<u8>) {
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let (length, headers_length) = (number(0) as usize, number(4) as usize);
    assert_eq!(length, bytes.len());
    assert_eq!(number(8), crc32(&bytes[..8]));
    assert_eq!(number(length - 4), crc32(&bytes[..length - 4]));
    let (mut rest, payload) = bytes[12..length - 4].split_at(headers_length);
    let mut headers = Vec::new();
    let take = |rest: &mut &[u8], count: usize| {
        let (taken, left) = rest.split_at(count);
        *rest = left;
        taken.to_vec()
    };
    while !rest.is_empty() {
        let name_length = take(&mut rest, 1)[0].into();
        let name = String::from_utf8(take(&mut rest, name_length)).unwrap();
        assert_eq!(take(&mut rest, 1), [7], "a string");
        let length = take(&mut rest, 2);
        let value = take(&mut rest, u16::from_be_bytes([length[0], length[1]]).into());
        headers.push((name, String::from_utf8(value).unwrap()));
    }
    (headers, payload.to_vec())
}

/// Bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

fn event(event: InvokeWithResponseStreamResponseEvent) -> (String, String, Vec<u8>) {
    let bytes = encode_event(&lambda::SERVICE, operation(), event);
    let (headers, payload) = message(&bytes);
    let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, [":message-type", ":event-type", ":content-type"]);
    assert_eq!(headers[0].1, "event");
    (headers[1].1.clone(), headers[2].1.clone(), payload)
}

#[test]
fn a_chunk_is_its_bytes() {
    for payload in [Bytes::new(), Bytes::from_static(b"\0\xff some")] {
        let chunk = InvokeResponseStreamUpdate {
            payload: Some(payload.clone()),
        };
        let (kind, content_type, body) = event(InvokeWithResponseStreamResponseEvent {
            payload_chunk: Some(chunk),
            invoke_complete: None,
        });
        assert_eq!(kind, "PayloadChunk");
        assert_eq!(content_type, "application/octet-stream");
        assert_eq!(body, payload);
    }
}

#[test]
fn the_end_is_json() {
    let complete = |complete| {
        let (kind, content_type, body) = event(InvokeWithResponseStreamResponseEvent {
            payload_chunk: None,
            invoke_complete: Some(complete),
        });
        assert_eq!(kind, "InvokeComplete");
        assert_eq!(content_type, "application/json");
        String::from_utf8(body).unwrap()
    };
    let well = InvokeWithResponseStreamCompleteEvent::default();
    assert_eq!(complete(well), "{}");
    let badly = InvokeWithResponseStreamCompleteEvent {
        error_code: Some("Unhandled".into()),
        error_details: Some(r#"{"errorType":"E"}"#.into()),
        log_result: Some("bG9n".into()),
    };
    assert_eq!(
        complete(badly),
        r#"{"ErrorCode":"Unhandled","ErrorDetails":"{\"errorType\":\"E\"}","LogResult":"bG9n"}"#
    );
}

#[test]
fn what_is_no_event_is_no_message() {
    let none = InvokeWithResponseStreamResponseEvent::default();
    assert!(encode_event(&lambda::SERVICE, operation(), none).is_empty());
    let other = lambda::SERVICE.operation("Invoke").unwrap();
    let chunk = InvokeWithResponseStreamResponseEvent {
        payload_chunk: Some(InvokeResponseStreamUpdate::default()),
        invoke_complete: None,
    };
    assert!(encode_event(&lambda::SERVICE, other, chunk).is_empty());
}

#[test]
fn the_head_says_what_follows() {
    let router = Router::new(&[&lambda::SERVICE]);
    let request =
        Request::post("/2021-11-15/functions/f/response-streaming-invocations?Qualifier=3")
            .header("X-Amz-Log-Type", "Tail")
            .body(Bytes::from_static(b"[1]"))
            .unwrap();
    let (parts, body) = request.into_parts();
    let route = router.route(&parts, &body).unwrap();
    assert_eq!(route.operation.name, "InvokeWithResponseStream");
    let cx = Context {
        request_id: "an-id".into(),
        account_id: "000000000000".into(),
        region: "us-east-1".into(),
        access_key_id: "test".into(),
        role: None,
        host: String::new(),
        origin: wire::Origin::default(),
        trace_header: None,
        now: Timestamp::UNIX_EPOCH,
    };
    let call = Call {
        cx: &cx,
        route: &route,
        parts: &parts,
        body: &body,
    };
    let input: InvokeWithResponseStreamRequest = call.input().unwrap();
    assert_eq!(input.function_name, "f");
    assert_eq!(input.qualifier.as_deref(), Some("3"));
    assert_eq!(input.log_type.as_deref(), Some("Tail"));
    assert_eq!(input.payload.as_deref(), Some(&b"[1]"[..]));
    let head = call.respond(InvokeWithResponseStreamResponse {
        status_code: Some(200),
        executed_version: Some("3".into()),
        event_stream: None,
        response_stream_content_type: Some(EVENT_STREAM.into()),
    });
    assert_eq!(head.status(), 200);
    assert_eq!(head.headers()["content-type"], EVENT_STREAM);
    assert_eq!(head.headers()["x-amz-executed-version"], "3");
    assert_eq!(head.headers()["x-amzn-requestid"], "an-id");
    assert!(head.body().is_empty());
}
