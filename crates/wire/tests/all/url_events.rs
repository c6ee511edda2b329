//! Function URLs in both directions, as AWS was seen to do it.

use http::{HeaderValue, Request};
use serde_json::{Value, json};
use wire::events::url::{
    Iam, UrlContext, event, forbidden, response, stream_head_end, stream_headed, stream_plain,
    stream_response,
};

fn cx() -> UrlContext<'static> {
    UrlContext {
        request_id: "7f6b2a6c-0000-4000-8000-000000000001",
        url_id: "abcdefghij0123456789",
        domain_name: "abcdefghij0123456789.lambda-url.us-east-1.localhost:4566",
        iam: None,
        now: "2020-03-12T19:03:58.390Z".parse().unwrap(),
        source_ip: "192.0.2.7".parse().unwrap(),
        scheme: "http",
        port: 4566,
        trace_id: "Root=1-5e6722a7-cc56",
        tls: None,
    }
}

fn made(request: Request<&[u8]>, cx: &UrlContext<'_>) -> Value {
    let (parts, body) = request.into_parts();
    serde_json::from_slice(&event(&parts, body, cx)).unwrap()
}

#[test]
fn a_request_becomes_an_event() {
    let request = Request::post("/pa2%25Fth/1?q=query&many=foo&many=%2Fbar&empty&plus=a+b%2Bc")
        .header(
            "host",
            "abcdefghij0123456789.lambda-url.us-east-1.localhost:4566",
        )
        .header("Content-Type", "application/json")
        .header("ExTrA-HeadErs", "With WeiRd CapS")
        .header("twice", "one")
        .header("twice", "two")
        .header("user-agent", "test/echo")
        .header("connection", "keep-alive")
        .header("x-forwarded-for", "203.0.113.9")
        .header("cookie", "a=1; b=2")
        .header("cookie", "c=3")
        .body(br#"{"foo": "bar"}"#.as_slice())
        .unwrap();
    assert_eq!(
        made(request, &cx()),
        json!({
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": "/pa2%25Fth/1",
            "rawQueryString": "q=query&many=foo&many=%2Fbar&empty&plus=a+b%2Bc",
            "cookies": ["a=1", "b=2", "c=3"],
            "headers": {
                "host": "abcdefghij0123456789.lambda-url.us-east-1.localhost:4566",
                "content-type": "application/json",
                "extra-headers": "With WeiRd CapS",
                "twice": "one,two",
                "user-agent": "test/echo",
                "content-length": "14",
                "x-forwarded-for": "203.0.113.9,192.0.2.7",
                "x-forwarded-port": "4566",
                "x-forwarded-proto": "http",
                "x-amzn-trace-id": "Root=1-5e6722a7-cc56",
            },
            "queryStringParameters": {
                "q": "query", "many": "foo,/bar", "empty": "", "plus": "a b+c",
            },
            "requestContext": {
                "accountId": "anonymous",
                "apiId": "abcdefghij0123456789",
                "domainName": "abcdefghij0123456789.lambda-url.us-east-1.localhost:4566",
                "domainPrefix": "abcdefghij0123456789",
                "http": {
                    "method": "POST",
                    "path": "/pa2%Fth/1",
                    "protocol": "HTTP/1.1",
                    "sourceIp": "192.0.2.7",
                    "userAgent": "test/echo",
                },
                "requestId": "7f6b2a6c-0000-4000-8000-000000000001",
                "routeKey": "$default",
                "stage": "$default",
                "time": "12/Mar/2020:19:03:58 +0000",
                "timeEpoch": 1_584_039_838_390_i64,
            },
            "body": "{\"foo\": \"bar\"}",
            "isBase64Encoded": false,
        })
    );
}

#[test]
fn what_is_not_there_is_left_out() {
    let event = made(Request::get("/").body(b"".as_slice()).unwrap(), &cx());
    let object = event.as_object().unwrap();
    for absent in ["cookies", "queryStringParameters", "body"] {
        assert!(!object.contains_key(absent), "{absent}");
    }
    assert_eq!(event["isBase64Encoded"], false);
    assert_eq!(event["rawQueryString"], "");
    assert!(
        !event["requestContext"]
            .as_object()
            .unwrap()
            .contains_key("authorizer")
    );
}

#[test]
fn bodies_are_text_only_where_aws_takes_them_for_it() {
    let check = |content_type: Option<&str>, body: &[u8], text: bool| {
        let mut request = Request::post("/");
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let event = made(request.body(body).unwrap(), &cx());
        assert_eq!(event["isBase64Encoded"], !text, "{content_type:?}");
    };
    check(Some("text/plain; charset=utf-8"), b"a", true);
    check(Some("application/json"), "ä".as_bytes(), true);
    check(Some("Application/XML"), b"<a/>", true);
    check(Some("application/javascript"), b"a", true);
    check(Some("application/x-www-form-urlencoded"), b"a=b", false);
    check(Some("multipart/form-data; boundary=x"), b"--x", false);
    check(Some("application/octet-stream"), b"a", false);
    check(Some("application/vnd.api+json"), b"{}", false);
    check(None, b"a", false);
    check(Some("text/plain"), b"\xff\xfe", false);
}

#[test]
fn a_signed_request_names_its_caller() {
    let iam = Iam {
        access_key: "AKIAEXAMPLE",
        account_id: "123456789012",
        caller_id: "AIDAEXAMPLE",
        cognito_identity: None,
        principal_org_id: None,
        user_arn: "arn:aws:iam::123456789012:user/example",
        user_id: "AIDAEXAMPLE",
    };
    let cx = UrlContext {
        iam: Some(iam),
        tls: Some(("TLSv1.3", "TLS_AES")),
        ..cx()
    };
    let event = made(Request::get("/").body(b"".as_slice()).unwrap(), &cx);
    assert_eq!(event["requestContext"]["accountId"], "123456789012");
    assert_eq!(
        event["requestContext"]["authorizer"]["iam"],
        json!({
            "accessKey": "AKIAEXAMPLE",
            "accountId": "123456789012",
            "callerId": "AIDAEXAMPLE",
            "cognitoIdentity": null,
            "principalOrgId": null,
            "userArn": "arn:aws:iam::123456789012:user/example",
            "userId": "AIDAEXAMPLE",
        })
    );
    assert_eq!(event["headers"]["x-amzn-tls-version"], "TLSv1.3");
}

fn answer(payload: &str) -> (u16, String, Option<String>) {
    let response = response(payload.as_bytes(), "id");
    let content_type = response.headers().get("content-type");
    (
        response.status().as_u16(),
        String::from_utf8(response.body().to_vec()).unwrap(),
        content_type.map(|v| v.to_str().unwrap().to_owned()),
    )
}

#[test]
fn an_answer_without_a_status_code_is_the_body() {
    let check = |payload, body: &str| {
        let json = Some("application/json".to_owned());
        assert_eq!(answer(payload), (200, body.to_owned(), json), "{payload}");
    };
    check(r#"{"hello": "wor ld"}"#, r#"{"hello":"wor ld"}"#);
    check(r#"["hello", 3, true]"#, r#"["hello",3,true]"#);
    check(r#""hello""#, "hello");
    check(" 3 ", "3");
    check("3.10", "3.10");
    check("true", "true");
    check("null", "null");
    check(
        r#"{"body": "x", "headers": 7}"#,
        r#"{"body":"x","headers":7}"#,
    );
    check(
        r#"{"a": "quote \" and space"}"#,
        r#"{"a":"quote \" and space"}"#,
    );
}

#[test]
fn an_answer_with_a_status_code_is_a_response() {
    let made = response(
        br#"{"statusCode": 201, "headers": {"Content-Type": "text/html", "X-N": 7, "Date": "d"},
            "cookies": ["a=1", "b=2; Secure"], "body": "<p>"}"#,
        "id",
    );
    assert_eq!(made.status().as_u16(), 201);
    assert_eq!(made.headers()["content-type"], "text/html");
    assert_eq!(made.headers()["x-n"], "7");
    assert_eq!(made.headers()["x-amzn-remapped-date"], "d");
    assert_eq!(made.headers()["x-amzn-requestid"], "id");
    let cookies: Vec<_> = made.headers().get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2; Secure"]);
    assert_eq!(made.body().as_ref(), b"<p>");

    assert_eq!(
        answer(r#"{"statusCode": "418", "body": "i'm a teapot"}"#).0,
        418
    );
    assert_eq!(answer(r#"{"statusCode": 204}"#).1, "");
    assert_eq!(
        answer(r#"{"statusCode": 200, "body": {"a": 1}}"#).1,
        r#"{"a":1}"#
    );
    assert_eq!(
        answer(r#"{"statusCode":200,"body":"aGk=","isBase64Encoded":true}"#).1,
        "hi"
    );
}

#[test]
fn a_streamed_answer_says_first_what_it_is() {
    let payload =
        b"{\"statusCode\": 418, \"headers\": {\"X-A\": \"b\"}, \"cookies\": [\"c=d\"]}\0\0\0\0\0\0\0\0tea\0\xff";
    let made = response(payload, "id");
    assert_eq!(made.status().as_u16(), 418);
    assert_eq!(made.headers()["x-a"], "b");
    assert_eq!(made.headers()["set-cookie"], "c=d");
    assert_eq!(made.headers()["content-type"], "application/octet-stream");
    assert_eq!(made.body().as_ref(), b"tea\0\xff");
    assert_eq!(answer("{}\0\0\0\0\0\0\0\0").0, 200);
    assert_eq!(answer("{\"statusCode\": 1}\0\0\0\0\0\0\0\0x").0, 502);
    assert_eq!(answer("{]\0\0\0\0\0\0\0\0x").0, 502);
}

#[test]
fn a_streams_head_is_a_response_before_its_body_is_there() {
    let read = b"{\"statusCode\": 418, \"cookies\": [\"c=d\"]}\0\0\0\0\0\0\0\0te";
    let (end, begin) = stream_head_end(read).expect("it is whole");
    assert_eq!(&read[begin..], b"te");
    let made = stream_headed(&read[..end], 7).expect("it is one");
    assert_eq!((made.status().as_u16(), *made.body()), (418, 7));
    assert_eq!(made.headers()["set-cookie"], "c=d");
    assert!(stream_head_end(&read[..end + 7]).is_none());
    for none in [&b""[..], b"[]", b"{\"statusCode\": 1}", b"{\"headers\": 7}"] {
        assert!(stream_headed(none, ()).is_none());
    }
    let made = stream_plain(None, 7);
    assert_eq!(made.headers()["content-type"], "application/octet-stream");
    let given = HeaderValue::from_static("text/event-stream");
    let made = stream_plain(Some(&given), 7);
    assert_eq!(made.headers()["content-type"], "text/event-stream");
}

#[test]
fn what_cannot_be_a_response_is_a_502() {
    for payload in [
        "",
        "not json",
        "{\"statusCode\": 200",
        r#"{"statusCode": "abc"}"#,
        r#"{"statusCode": 99}"#,
        r#"{"statusCode": 100}"#,
        r#"{"statusCode": 101}"#,
        r#"{"statusCode": 600}"#,
        r#"{"statusCode": {}}"#,
        r#"{"statusCode": 200, "headers": {"a": []}}"#,
        r#"{"statusCode": 200, "headers": {"a b": "c"}}"#,
        r#"{"statusCode": 200, "headers": {"a": "line\nbreak"}}"#,
        r#"{"statusCode": 200, "cookies": "a=1"}"#,
        r#"{"statusCode": 200, "body": "???", "isBase64Encoded": true}"#,
    ] {
        let (status, body, content_type) = answer(payload);
        assert_eq!(
            (status, body.as_str()),
            (502, "Internal Server Error"),
            "{payload}"
        );
        assert_eq!(content_type.as_deref(), Some("text/plain"));
    }
}

#[test]
fn what_a_function_wrote_to_a_stream_is_the_body() {
    for written in [&b""[..], b"Hello, world!", b"{\xff", b"\0\0\0\0\0\0\0\0"] {
        let response = stream_response(written, "an-id");
        assert_eq!(
            (response.status().as_u16(), &response.body()[..]),
            (200, written)
        );
        assert_eq!(
            response.headers()["content-type"],
            "application/octet-stream"
        );
        assert_eq!(response.headers()["x-amzn-requestid"], "an-id");
    }
    // What was not streamed is what it always was.
    let response = stream_response(br#"{"statusCode": 404, "body": "no"}"#, "an-id");
    assert_eq!(
        (response.status().as_u16(), &response.body()[..]),
        (404, &b"no"[..])
    );
}

#[test]
fn a_url_that_is_not_there_is_forbidden_without_a_word() {
    let response = forbidden(false);
    assert_eq!(response.status().as_u16(), 403);
    assert_eq!(response.body().as_ref(), br#"{"Message":null}"#);
    assert_eq!(
        response.headers()["x-amzn-errortype"],
        "AccessDeniedException"
    );
}
