//! AWS's own protocol test vectors, from the server's side: what a client sends is decoded to what
//! the vector says, and what a vector's client reads is what we write.

use crate::{
    support::{comparable, protocol_of, service_speaking, value},
    xml,
};
use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value as Json;
use wire::{
    Error, Members, Protocol, Route, Router, Value, decode_request, encode_response, refuse,
    schema::Kind,
};

const INPUT: &[&str] = &[
    include_str!("../vectors/botocore-rest-json-input.json"),
    include_str!("../vectors/botocore-json-1.0-input.json"),
    include_str!("../vectors/botocore-json-1.0-query-compatible-input.json"),
    include_str!("../vectors/botocore-json-1.1-input.json"),
    include_str!("../vectors/botocore-query-input.json"),
    include_str!("../vectors/botocore-rest-xml-input.json"),
];
const OUTPUT: &[&str] = &[
    include_str!("../vectors/botocore-rest-json-output.json"),
    include_str!("../vectors/botocore-json-1.0-output.json"),
    include_str!("../vectors/botocore-json-1.0-query-compatible-output.json"),
    include_str!("../vectors/botocore-json-1.1-output.json"),
    include_str!("../vectors/botocore-query-output.json"),
    include_str!("../vectors/botocore-rest-xml-output.json"),
];

/// Cases that are about something else than a message's form, each with the reason.
const LEFT_OUT: &[(&str, &str)] = &[
    (
        "RestJsonHostWithPath",
        "a path in the endpoint is the client's own",
    ),
    (
        "RestJsonHttpPrefixHeadersAreNotPresent",
        "an empty map is nothing on the wire",
    ),
    (
        "RestJsonOmitsEmptyListQueryValues",
        "an empty list is nothing on the wire",
    ),
    (
        "SDKAppliedContentEncoding_restJson1",
        "compressed requests are not spoken",
    ),
    (
        "SDKAppendedGzipAfterProvidedEncoding_restJson1",
        "compressed requests are not spoken",
    ),
    (
        "RestJsonQueryIdempotencyTokenAutoFill",
        "the client makes the token up",
    ),
    (
        "RestJsonQueryParamsStringListMap",
        "a server's map has the named parameters too",
    ),
    (
        "AllQueryStringTypes",
        "a server's map has the named parameters too",
    ),
    (
        "RestXmlQueryStringEscaping",
        "a server's map has the named parameters too",
    ),
    (
        "RestXmlSupportsNaNFloatQueryValues",
        "a server's map has the named parameters too",
    ),
    (
        "RestXmlSupportsInfinityFloatQueryValues",
        "a server's map has the named parameters too",
    ),
    (
        "RestXmlSupportsNegativeInfinityFloatQueryValues",
        "a server's map has the named parameters too",
    ),
    (
        "RestXmlZeroAndFalseQueryValues",
        "a server's map has the named parameters too",
    ),
    (
        "RestXmlQueryParamsStringListMap",
        "a server's map has the named parameters too",
    ),
    ("RestXmlQueryPrecedence", "what wins is the client's choice"),
    (
        "HttpPrefixHeadersAreNotPresent",
        "an empty map is nothing on the wire",
    ),
    (
        "SDKAppliedContentEncoding_restXml",
        "compressed requests are not spoken",
    ),
    (
        "SDKAppendedGzipAfterProvidedEncoding_restXml",
        "compressed requests are not spoken",
    ),
    (
        "QueryIdempotencyTokenAutoFill",
        "the client makes the token up",
    ),
    (
        "RestXmlDateTimeWithNegativeOffset",
        "offsets are read and never written",
    ),
    (
        "RestXmlDateTimeWithPositiveOffset",
        "offsets are read and never written",
    ),
    (
        "BodyWithXmlName",
        "the vector's model does not say the name",
    ),
    (
        "SimpleScalarPropertiesWithXMLPreamble",
        "what a client has to tolerate",
    ),
    (
        "SimpleScalarPropertiesComplexEscapes",
        "a line feed is written as one",
    ),
    (
        "IgnoreQueryParamsInResponse",
        "no content has no media type",
    ),
    ("RestXmlHttpResponseCode", "no content has no media type"),
    ("ComplexError", "sets what the error's shape does not have"),
    (
        "InvalidGreetingError",
        "sets what the error's shape does not have",
    ),
    (
        "RestJsonQueryPrecedence",
        "what wins is the client's choice",
    ),
    (
        "RestJsonHttpWithEmptyStructurePayload",
        "the client sends {} for nothing",
    ),
    (
        "RestJsonHttpWithHeadersButNoPayload",
        "the client sends {} for nothing",
    ),
    (
        "RestJsonDateTimeWithNegativeOffset",
        "offsets are read and never written",
    ),
    (
        "RestJsonDateTimeWithPositiveOffset",
        "offsets are read and never written",
    ),
    (
        "AwsJson10FooErrorUsingXAmznErrorType",
        "awsJson's body has the code",
    ),
    (
        "AwsJson10FooErrorUsingXAmznErrorTypeWithUri",
        "awsJson's body has the code",
    ),
    (
        "AwsJson10FooErrorUsingXAmznErrorTypeWithUriAndNamespace",
        "awsJson's body has the code",
    ),
    (
        "AwsJson11FooErrorUsingXAmznErrorType",
        "awsJson's body has the code",
    ),
    (
        "AwsJson11FooErrorUsingXAmznErrorTypeWithUri",
        "awsJson's body has the code",
    ),
    (
        "AwsJson11FooErrorUsingXAmznErrorTypeWithUriAndNamespace",
        "awsJson's body has the code",
    ),
    (
        "AwsJson11DateTimeWithNegativeOffset",
        "offsets are read and never written",
    ),
    (
        "AwsJson11DateTimeWithPositiveOffset",
        "offsets are read and never written",
    ),
    (
        "AwsQueryDateTimeWithNegativeOffset",
        "offsets are read and never written",
    ),
    (
        "AwsQueryDateTimeWithPositiveOffset",
        "offsets are read and never written",
    ),
    (
        "AwsJson10HandlesUnexpectedJsonOutput",
        "what a client has to tolerate",
    ),
    (
        "handles_unexpected_json_output",
        "what a client has to tolerate",
    ),
    (
        "AwsJson11IntEnums",
        "expects a request's header in the answer",
    ),
    (
        "parses_the_request_id_from_the_response",
        "the id is the test's own",
    ),
    (
        "SDKAppliedContentEncoding_awsJson1_0",
        "compressed requests are not spoken",
    ),
    (
        "SDKAppliedContentEncoding_awsJson1_1",
        "compressed requests are not spoken",
    ),
    (
        "SDKAppliedContentEncoding_awsQuery",
        "compressed requests are not spoken",
    ),
    (
        "SDKAppendsGzipAndIgnoresHttpProvidedEncoding_awsJson1_0",
        "compressed requests are not spoken",
    ),
    (
        "SDKAppendsGzipAndIgnoresHttpProvidedEncoding_awsJson1_1",
        "compressed requests are not spoken",
    ),
    (
        "SDKAppendsGzipAndIgnoresHttpProvidedEncoding_awsQuery",
        "compressed requests are not spoken",
    ),
    (
        "QueryProtocolIdempotencyTokenAutoFill",
        "the client makes the token up",
    ),
    ("QueryEmptyQueryMaps", "an empty map is nothing on the wire"),
    (
        "RestJsonFooErrorUsingXAmznErrorTypeWithUri",
        "written without the URI, which clients have to drop",
    ),
    (
        "RestJsonFooErrorUsingXAmznErrorTypeWithUriAndNamespace",
        "written without the URI, which clients have to drop",
    ),
];

fn left_out(id: &str) -> bool {
    LEFT_OUT.iter().any(|(name, _)| *name == id)
}

/// Each with the suite that it belongs to.
fn cases(texts: &[&str]) -> Vec<(Json, Json)> {
    let mut out = Vec::new();
    for text in texts {
        let suites: Vec<Json> = serde_json::from_str(text).unwrap();
        for suite in suites {
            for case in suite["cases"].as_array().unwrap() {
                out.push((suite.clone(), case.clone()));
            }
        }
    }
    out
}

fn service_of(suite: &Json, case: &Json) -> &'static wire::schema::Service {
    service_speaking(&suite["metadata"], &suite["shapes"], &case["given"])
}

#[test]
fn requests_are_decoded_as_the_vectors_say() {
    let mut wrong = Vec::new();
    let mut ran = 0;
    for (suite, case) in cases(INPUT) {
        let id = case["id"].as_str().unwrap();
        if left_out(id) {
            continue;
        }
        ran += 1;
        if let Err(what) = check_input(&suite, &case) {
            wrong.push(format!("{id}: {what:.900}"));
        }
    }
    println!("{ran} input vectors");
    assert!(
        wrong.is_empty(),
        "{} of {ran} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn check_input(suite: &Json, case: &Json) -> Result<(), String> {
    let service = service_of(suite, case);
    let operation = &service.operations[0];
    let sent = &case["serialized"];
    let mut request = Request::builder()
        .method(sent["method"].as_str().unwrap_or("POST"))
        .uri(sent["uri"].as_str().unwrap());
    for (name, text) in sent["headers"].as_object().into_iter().flatten() {
        request = request.header(name, text.as_str().unwrap());
    }
    // Vectors of hosts and of compression say nothing of what every request has.
    let headers = request.headers_ref().unwrap();
    match (service.protocols[0], operation.name) {
        (Protocol::AwsJson1_0 | Protocol::AwsJson1_1, name)
            if !headers.contains_key("x-amz-target") =>
        {
            let prefix = service.target_prefix.unwrap();
            request = request.header("x-amz-target", format!("{prefix}.{name}"));
        }
        (Protocol::AwsQuery, _) if !headers.contains_key("content-type") => {
            request = request.header("content-type", "application/x-www-form-urlencoded");
        }
        _ => {}
    }
    let body = Bytes::from(sent["body"].as_str().unwrap_or_default().to_owned());
    let (parts, ()) = request.body(()).map_err(|e| e.to_string())?.into_parts();
    let router = Router::new(&[service]);
    let route = router.route(&parts, &body).map_err(|e| e.to_string())?;
    let found = decode_request(
        route.protocol,
        service,
        operation,
        &route.labels,
        &parts,
        &body,
    )
    .map_err(|e| e.to_string())?;
    let expected = match operation.input {
        Some(input) => value(service, input, &case["params"]),
        None => Value::Structure(Members::default()),
    };
    let (found, expected) = (comparable(&found), comparable(&expected));
    if found == expected {
        return Ok(());
    }
    Err(format!("\n   found    {found}\n   expected {expected}"))
}

#[test]
fn answers_are_encoded_as_the_vectors_say() {
    let mut wrong = Vec::new();
    let mut ran = 0;
    for (suite, case) in cases(OUTPUT) {
        let id = case["id"].as_str().unwrap();
        if left_out(id) {
            continue;
        }
        ran += 1;
        let checked = match case.get("error") {
            Some(error) => check_error(&suite, &case, error),
            None => check_output(&suite, &case),
        };
        if let Err(what) = checked {
            wrong.push(format!("{id}: {what:.900}"));
        }
    }
    println!("{ran} output vectors");
    assert!(
        wrong.is_empty(),
        "{} of {ran} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn check_output(suite: &Json, case: &Json) -> Result<(), String> {
    let service = service_of(suite, case);
    let operation = &service.operations[0];
    let output = operation
        .output
        .map(|output| value(service, output, &case["result"]));
    let protocol = protocol_of(&suite["metadata"]);
    let written = encode_response(protocol, service, operation, output, "foo-id");
    same_answer(&written, &case["response"])
}

fn check_error(suite: &Json, case: &Json, members: &Json) -> Result<(), String> {
    let service = service_of(suite, case);
    let code = case["errorCode"].as_str().unwrap();
    let named = |shape: &&wire::schema::Shape| match shape.kind {
        Kind::Structure(structure) => structure
            .error
            .is_some_and(|e| shape.name == code || e.query_code == Some(code)),
        _ => false,
    };
    let shape = service.shapes.iter().find(named).ok_or("no such error")?;
    let Kind::Structure(structure) = shape.kind else {
        return Err("the error is no structure".to_owned());
    };
    let message = case["errorMessage"].as_str().unwrap_or_default();
    let mut error = Error::modelled(shape, message);
    for member in structure.members {
        if let Some(json) = members.get(member.name) {
            error = error.with(member.name, value(service, member.shape, json));
        }
    }
    let protocol = protocol_of(&suite["metadata"]);
    let route = Route {
        service,
        protocol,
        operation: &service.operations[0],
        labels: wire::Labels::default(),
    };
    let (parts, ()) = Request::new(()).into_parts();
    let written = refuse(&route, &parts, &error, "foo-id");
    same_answer(&written, &case["response"])
}

fn same_answer(written: &Response<Bytes>, expected: &Json) -> Result<(), String> {
    if u64::from(written.status().as_u16()) != expected["status_code"].as_u64().unwrap() {
        return Err(format!("status {}", written.status()));
    }
    for (name, text) in expected["headers"].as_object().into_iter().flatten() {
        if name.eq_ignore_ascii_case("content-length") {
            continue; // The HTTP server writes it.
        }
        let found = written.headers().get(name).map(|v| v.to_str().unwrap());
        if found != text.as_str() {
            return Err(format!("header {name}: {found:?}, expected {text}"));
        }
    }
    same_body(written, expected["body"].as_str().unwrap_or_default())
}

/// JSON is compared as JSON. Members that are null for a client that skips them, an error's code in
/// the body beside that in the header, and what only clients have to tolerate, are not written.
fn same_body(written: &Response<Bytes>, expected: &str) -> Result<(), String> {
    let found = std::str::from_utf8(written.body()).unwrap();
    if expected.is_empty() && found.starts_with("<?xml") {
        // A client reads no members from nothing as well as from empty elements.
        let found = xml::comparable(found);
        let texts = found.split('<').map(|piece| piece.split_once('>'));
        return match texts.flatten().all(|(_, text)| text.is_empty()) {
            true => Ok(()),
            false => Err(format!("body {found}, expected none")),
        };
    }
    if expected.trim_start().starts_with('<') {
        let (found, expected) = (xml::comparable(found), xml::comparable(expected));
        return match found == expected {
            true => Ok(()),
            false => Err(format!("\n   found    {found}\n   expected {expected}")),
        };
    }
    let (Ok(found_json), Ok(expected_json)) = (
        serde_json::from_str::<Json>(found),
        serde_json::from_str::<Json>(expected),
    ) else {
        // A client reads no members from nothing as well as from an empty object.
        return if found == expected || (found == "{}" && expected.is_empty()) {
            Ok(())
        } else {
            Err(format!("body {found}, expected {expected}"))
        };
    };
    let (found, expected) = (tolerant(&found_json), tolerant(&expected_json));
    if found == expected {
        Ok(())
    } else {
        Err(format!("body {found}, expected {expected}"))
    }
}

fn tolerant(json: &Json) -> Json {
    match json {
        Json::Object(entries) => Json::Object(
            entries
                .iter()
                .filter(|(key, value)| !value.is_null() && *key != "__type" && *key != "code")
                .map(|(key, value)| (key.clone(), tolerant(value)))
                .collect(),
        ),
        Json::Array(items) => Json::Array(items.iter().map(tolerant).collect()),
        Json::Number(number) => number.as_f64().map_or(json.clone(), Json::from),
        other => other.clone(),
    }
}
