//! Errors in the forms of the protocols that no service here speaks yet. A client of such a service
//! is to read that it is not here, and not to stumble over a form that it cannot read.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header, request};
use serde_json::json;

use super::Protocol;
use crate::{error::Error, query};

/// The services of rest-xml; all others that call without a target speak rest-json.
const XML: &[&str] = &[
    "cloudfront",
    "route53",
    "s3",
    "s3-object-lambda",
    "s3-outposts",
    "s3express",
];

/// What the client of some service speaks, as far as its request shows.
pub fn spoken(parts: &request::Parts, service: &str) -> Protocol {
    let header = |name: &str| text(&parts.headers, name);
    let form = header("content-type").starts_with("application/x-www-form-urlencoded");
    let action = query::pairs(parts.uri.query().unwrap_or_default()).any(|(n, _)| n == "Action");
    if header("smithy-protocol") == "rpc-v2-cbor" {
        Protocol::RpcV2Cbor
    } else if parts.headers.contains_key("x-amz-target") {
        match header("content-type") {
            "application/x-amz-json-1.0" => Protocol::AwsJson1_0,
            _ => Protocol::AwsJson1_1,
        }
    } else if form || action {
        Protocol::AwsQuery
    } else if XML.contains(&service) {
        Protocol::RestXml
    } else {
        Protocol::RestJson1
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}

pub fn json(protocol: Protocol, error: &Error) -> Response<Bytes> {
    let body = json!({"__type": error.code, "message": error.message}).to_string();
    let version = match protocol {
        Protocol::AwsJson1_0 => "application/x-amz-json-1.0",
        _ => "application/x-amz-json-1.1",
    };
    answer(error, version, body)
}

pub fn query(error: &Error, request_id: &str) -> Response<Bytes> {
    let body = format!(
        "<ErrorResponse><Error><Type>{}</Type><Code>{}</Code><Message>{}</Message></Error>\
         <RequestId>{}</RequestId></ErrorResponse>",
        match error.fault {
            crate::Fault::Sender => "Sender",
            crate::Fault::Receiver => "Receiver",
        },
        error.code,
        escaped(&error.message),
        escaped(request_id),
    );
    answer(error, "text/xml", body)
}

pub fn xml(error: &Error, request_id: &str) -> Response<Bytes> {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <Error><Code>{}</Code><Message>{}</Message><RequestId>{}</RequestId></Error>",
        error.code,
        escaped(&error.message),
        escaped(request_id),
    );
    answer(error, "application/xml", body)
}

fn answer(error: &Error, content_type: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = error.status;
    let content_type = HeaderValue::from_static(content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    let code = HeaderValue::from_static(error.code);
    response.headers_mut().insert("x-amzn-errortype", code);
    response
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // XML has no way to say them.
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use http::{Request, StatusCode};

    use super::*;

    fn check(headers: &[(&str, &str)], uri: &str, service: &str, expect: Protocol) {
        let mut request = Request::post(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        assert_eq!(spoken(&parts, service), expect, "{service} {uri}");
    }

    #[test]
    fn a_request_shows_what_its_client_reads() {
        let form = [(
            "content-type",
            "application/x-www-form-urlencoded; charset=utf-8",
        )];
        check(&form, "/", "iam", Protocol::AwsQuery);
        check(&[], "/?Action=ListUsers", "iam", Protocol::AwsQuery);
        let target = ("x-amz-target", "AmazonSQS.CreateQueue");
        let json = [target, ("content-type", "application/x-amz-json-1.0")];
        check(&json, "/", "sqs", Protocol::AwsJson1_0);
        check(&[target], "/", "kinesis", Protocol::AwsJson1_1);
        let cbor = [("smithy-protocol", "rpc-v2-cbor")];
        let path = "/service/GraniteServiceVersion20100801/operation/ListMetrics";
        check(&cbor, path, "monitoring", Protocol::RpcV2Cbor);
        check(&[], "/bucket", "s3", Protocol::RestXml);
        check(&[], "/v2/apis", "apigateway", Protocol::RestJson1);
    }

    #[test]
    fn each_form_says_code_and_message() {
        let error = Error::new(
            "NotImplemented",
            StatusCode::NOT_IMPLEMENTED,
            "no <s3> & co",
        );
        let text = |response: Response<Bytes>| {
            assert_eq!(response.status(), StatusCode::NOT_IMPLEMENTED);
            assert_eq!(response.headers()["x-amzn-errortype"], "NotImplemented");
            String::from_utf8_lossy(response.body()).into_owned()
        };
        let said = "<Code>NotImplemented</Code><Message>no &lt;s3&gt; &amp; co</Message>";
        let query = text(query(&error, "r"));
        assert!(query.starts_with("<ErrorResponse><Error><Type>Receiver</Type>"));
        assert!(query.contains(said) && query.contains("<RequestId>r</RequestId>"));
        assert!(text(xml(&error, "r")).contains(said));
        let json = text(json(Protocol::AwsJson1_0, &error));
        assert_eq!(
            json,
            r#"{"__type":"NotImplemented","message":"no <s3> & co"}"#
        );
    }
}
