//! Signatures made by AWS's own signer hold, and nothing else does.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation,
        SigningSettings, UriPathNormalizationMode, sign,
    },
    sign::v4::SigningParams,
};
use bytes::Bytes;
use http::{HeaderValue, Request};
use jiff::{SignedDuration, Timestamp};
use proptest::{collection::vec, prelude::*};
use wire::{
    Protocol,
    sigv4::{AuthError, KeyCache, Payload, Secret, Signed, verify},
};

const KEY_ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

#[derive(Clone, Debug)]
struct Case {
    method: &'static str,
    uri: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    body: &'static [u8],
    service: &'static str,
    presigned: bool,
    checksum_header: bool,
    unsigned_payload: bool,
    token: Option<&'static str>,
}

impl Case {
    fn new(method: &'static str, uri: &'static str) -> Self {
        Self {
            method,
            uri,
            headers: vec![],
            body: b"",
            service: "lambda",
            presigned: false,
            checksum_header: false,
            unsigned_payload: false,
            token: None,
        }
    }

    fn signed(&self) -> Request<Bytes> {
        let mut request = Request::builder().method(self.method).uri(self.uri);
        for (name, value) in &self.headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Bytes::from_static(self.body)).unwrap();
        let mut settings = SigningSettings::default();
        if self.presigned {
            settings.signature_location = SignatureLocation::QueryParams;
            settings.expires_in = Some(Duration::from_secs(900));
        }
        if self.checksum_header {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        if self.service == "s3" {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        }
        let identity =
            Credentials::new(KEY_ID, SECRET, self.token.map(str::to_owned), None, "test").into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region("eu-central-1")
            .name(self.service)
            .time(SystemTime::UNIX_EPOCH + Duration::from_secs(now().as_second().unsigned_abs()))
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let body = match self.unsigned_payload {
            true => SignableBody::UnsignedPayload,
            false => SignableBody::Bytes(self.body),
        };
        let headers = self.headers.iter().copied();
        let signable = SignableRequest::new(self.method, self.uri, headers, body).unwrap();
        let (instructions, _) = sign(signable, &params).unwrap().into_parts();
        instructions.apply_to_request_http1x(&mut request);
        request
    }
}

fn check_at(request: Request<Bytes>, at: Timestamp) -> Result<Signed, AuthError> {
    let (mut parts, body) = request.into_parts();
    if !parts.headers.contains_key("host") {
        let host = parts.uri.authority().unwrap().as_str().parse().unwrap();
        parts.headers.insert("host", host);
    }
    // A server sees the path alone.
    parts.uri = parts
        .uri
        .path_and_query()
        .unwrap()
        .as_str()
        .parse()
        .unwrap();
    let secrets = |id: &str| {
        (id == KEY_ID).then(|| Secret {
            secret_access_key: SECRET.into(),
            session_token: None,
        })
    };
    verify(&parts, &body, &secrets, at, &KeyCache::new())
}

fn check(request: Request<Bytes>) -> Result<Signed, AuthError> {
    check_at(request, now())
}

const LAMBDA: &str = "https://lambda.eu-central-1.amazonaws.com";

fn cases() -> Vec<Case> {
    let new = Case::new;
    vec![
        new(
            "GET",
            "https://lambda.eu-central-1.amazonaws.com/2015-03-31/functions/",
        ),
        new(
            "GET",
            "http://127.0.0.1:4566/2015-03-31/functions?MaxItems=10&Marker=a%2Bb%20c%3D",
        ),
        new("GET", "http://localhost:4566/a//b/./c/../d/"),
        new("GET", "http://localhost:4566/"),
        new("GET", "http://localhost:4566/f/%C3%A4%20%7E%21"),
        new("GET", "http://localhost:4566/f?b=2&a=2&a=1&empty=&flag"),
        new(
            "GET",
            "http://localhost:4566/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1",
        ),
        Case {
            body: br#"{"a":1}"#,
            headers: vec![
                ("content-type", "application/json"),
                ("x-amz-invocation-type", "  Event   with  spaces "),
                ("x-amz-meta", "one"),
                ("x-amz-meta", "two"),
            ],
            ..new(
                "POST",
                "http://localhost:4566/2015-03-31/functions/f/invocations",
            )
        },
        Case {
            checksum_header: true,
            body: b"body",
            ..new("PUT", "http://localhost:4566/p")
        },
        Case {
            checksum_header: true,
            unsigned_payload: true,
            service: "s3",
            body: b"whatever",
            ..new("PUT", "http://localhost:4566/bucket/a//b/../c%20d")
        },
        Case {
            service: "sqs",
            body: b"Action=X",
            ..new("POST", "http://localhost:4566/")
        },
    ]
}

#[test]
fn what_the_signer_signs_is_verified_in_both_forms() {
    for case in cases() {
        for presigned in [false, true] {
            if presigned && case.unsigned_payload {
                continue;
            }
            let case = Case {
                presigned,
                ..case.clone()
            };
            let signed = check(case.signed());
            let signed = signed.unwrap_or_else(|e| panic!("{} {presigned}: {e:?}", case.uri));
            assert_eq!(signed.access_key_id, KEY_ID);
            assert_eq!(signed.region, "eu-central-1");
            assert_eq!(signed.service, case.service);
            assert_eq!(signed.signed_at, now());
        }
    }
}

/// The signer takes bytes that are no text for others than they are.
fn escaped(letter: char) -> String {
    let mut bytes = [0; 4];
    let bytes = letter.encode_utf8(&mut bytes).bytes();
    bytes.map(|byte| format!("%{byte:02X}")).collect()
}

/// Text as it stands in an address, each character as itself or escaped.
fn address_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => "[A-Za-z0-9._~-]",
        1 => "[!$'()*,;:@]",
        2 => any::<char>().prop_map(escaped),
    ];
    vec(piece, 1..6).prop_map(|pieces| pieces.concat())
}

fn any_case() -> impl Strategy<Value = Case> {
    // Signers do not agree on what a path that ends in dots is.
    let path = (vec(address_text(), 0..5), "[a-z]?");
    let path = path.prop_map(|(segments, end)| format!("/{}/{end}", segments.join("/")));
    let pairs = vec((address_text(), prop::option::of(address_text())), 0..5);
    let pairs = pairs.prop_map(|pairs| {
        let pairs = pairs.into_iter().map(|(name, value)| match value {
            Some(value) => format!("{name}={value}"),
            None => name,
        });
        pairs.collect::<Vec<_>>().join("&")
    });
    let headers = vec(("x-amz-[a-c]", "[ -~]{0,12}"), 0..4);
    let what = (any::<[bool; 2]>(), vec(any::<u8>(), 0..20));
    let case = (path, pairs, headers, what);
    case.prop_map(
        |(path, query, headers, ([presigned, checksum_header], body))| {
            let mark = if query.is_empty() { "" } else { "?" };
            let uri = format!("http://localhost:4566{path}{mark}{query}");
            let headers = headers.into_iter().map(|(n, v)| (&*n.leak(), &*v.leak()));
            Case {
                headers: headers.collect(),
                body: body.leak(),
                presigned,
                checksum_header,
                ..Case::new("POST", uri.leak())
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_signer_signs_is_verified(case in any_case()) {
        let signed = check(case.signed());
        prop_assert!(signed.is_ok(), "{:?} of {} {:?}", signed, case.uri, case.headers);
    }
}

#[test]
fn what_the_body_counts_for_is_told() {
    let hashed = check(Case::new("POST", "http://localhost/p").signed()).unwrap();
    assert_eq!(hashed.payload, Payload::Hashed);
    let unsigned = |service| {
        let case = Case {
            unsigned_payload: true,
            checksum_header: true,
            service,
            ..Case::new("POST", "http://localhost/p")
        };
        check(case.signed()).map(|signed| signed.payload)
    };
    assert_eq!(unsigned("s3"), Ok(Payload::Unsigned));
    // "Lambda doesn't support unsigned payloads."
    assert_eq!(unsigned("lambda"), Err(AuthError::PayloadMismatch));
    let presigned_s3 = Case {
        unsigned_payload: true,
        presigned: true,
        service: "s3",
        ..Case::new("GET", "http://localhost/bucket/key")
    };
    assert_eq!(
        check(presigned_s3.signed()).unwrap().payload,
        Payload::Unsigned
    );
}

#[test]
fn any_change_of_what_is_signed_is_found() {
    let base = Case {
        body: b"{}",
        headers: vec![("x-amz-log-type", "Tail")],
        ..Case::new(
            "POST",
            "http://localhost:4566/2015-03-31/functions/f/invocations?Qualifier=1",
        )
    };
    type Change = fn(&mut Request<Bytes>);
    let changes: [(&str, Change); 7] = [
        ("method", |r| *r.method_mut() = http::Method::PUT),
        ("body", |r| *r.body_mut() = Bytes::from_static(b"{ }")),
        ("header", |r| {
            r.headers_mut()
                .insert("x-amz-log-type", HeaderValue::from_static("None"));
        }),
        ("header removed", |r| {
            r.headers_mut().remove("x-amz-log-type");
        }),
        ("date", |r| {
            let later = HeaderValue::from_static("20260301T120001Z");
            r.headers_mut().insert("x-amz-date", later);
        }),
        ("path", |r| {
            let uri = r.uri().to_string().replace("/f/", "/g/");
            *r.uri_mut() = uri.parse().unwrap();
        }),
        ("query", |r| {
            let uri = r.uri().to_string().replace("Qualifier=1", "Qualifier=2");
            *r.uri_mut() = uri.parse().unwrap();
        }),
    ];
    for presigned in [false, true] {
        let case = Case {
            presigned,
            ..base.clone()
        };
        assert!(check(case.signed()).is_ok());
        for (what, change) in changes {
            if presigned && what == "date" {
                continue;
            }
            let mut request = case.signed();
            change(&mut request);
            assert_eq!(
                check(request),
                Err(AuthError::Mismatch),
                "{what}, presigned: {presigned}"
            );
        }
    }
}

#[test]
fn a_header_that_is_not_signed_may_change_on_the_way() {
    let mut request = Case::new("GET", "http://localhost/p").signed();
    request
        .headers_mut()
        .insert("x-forwarded-for", HeaderValue::from_static("10.0.0.1"));
    assert!(check(request).is_ok());
}

#[test]
fn a_stated_hash_must_be_the_bodys() {
    let case = Case {
        checksum_header: true,
        body: b"a",
        ..Case::new("PUT", "http://localhost/p")
    };
    let mut request = case.signed();
    *request.body_mut() = Bytes::from_static(b"b");
    assert_eq!(check(request), Err(AuthError::PayloadMismatch));
}

fn message(result: Result<Signed, AuthError>) -> (String, u16, String) {
    let error = result.unwrap_err().to_error(Protocol::RestJson1);
    (
        error.code.to_owned(),
        error.status.as_u16(),
        error.message.clone(),
    )
}

#[test]
fn clocks_may_be_five_minutes_off_and_no_more() {
    let request = || Case::new("GET", LAMBDA).signed();
    let shift = |seconds| {
        now()
            .checked_add(SignedDuration::from_secs(seconds))
            .unwrap()
    };
    assert!(check_at(request(), shift(300)).is_ok());
    assert!(check_at(request(), shift(-300)).is_ok());
    assert_eq!(
        message(check_at(request(), shift(1200))),
        (
            "InvalidSignatureException".to_owned(),
            403,
            "Signature expired: 20260301T120000Z is now earlier than 20260301T121500Z \
             (20260301T122000Z - 5 min.)"
                .to_owned()
        )
    );
    assert_eq!(
        message(check_at(request(), shift(-1200))).2,
        "Signature not yet current: 20260301T120000Z is still later than 20260301T114500Z \
         (20260301T114000Z + 5 min.)"
    );
}

#[test]
fn a_presigned_address_lives_as_long_as_it_says() {
    let request = || {
        Case {
            presigned: true,
            ..Case::new("GET", LAMBDA)
        }
        .signed()
    };
    let shift = |seconds| {
        now()
            .checked_add(SignedDuration::from_secs(seconds))
            .unwrap()
    };
    assert!(check_at(request(), shift(900)).is_ok());
    assert_eq!(
        message(check_at(request(), shift(901))).2,
        "Signature expired: 20260301T121500Z is now earlier than 20260301T121501Z"
    );
}

#[test]
fn strangers_and_wrong_secrets_are_told_apart_as_aws_does() {
    let request = Case::new("GET", LAMBDA).signed();
    let (mut parts, body) = request.into_parts();
    parts.headers.insert(
        "host",
        HeaderValue::from_static("lambda.eu-central-1.amazonaws.com"),
    );
    let keys = KeyCache::new();
    let unknown = verify(&parts, &body, &|_: &str| None, now(), &keys);
    assert_eq!(
        message(unknown),
        (
            "UnrecognizedClientException".to_owned(),
            403,
            "The security token included in the request is invalid.".to_owned()
        )
    );
    let wrong = |_: &str| {
        Some(Secret {
            secret_access_key: "other".into(),
            session_token: None,
        })
    };
    let (code, status, text) = message(verify(&parts, &body, &wrong, now(), &keys));
    assert_eq!((code.as_str(), status), ("InvalidSignatureException", 403));
    assert!(text.starts_with("The request signature we calculated does not match"));
}

#[test]
fn session_tokens_must_be_the_ones_that_were_given() {
    let verify_with = |sent: Option<&'static str>, held: Option<&str>, presigned| {
        let case = Case {
            token: sent,
            presigned,
            ..Case::new("GET", LAMBDA)
        };
        let (mut parts, body) = case.signed().into_parts();
        parts.headers.insert(
            "host",
            HeaderValue::from_static("lambda.eu-central-1.amazonaws.com"),
        );
        let secrets = |_: &str| {
            Some(Secret {
                secret_access_key: SECRET.into(),
                session_token: held.map(Into::into),
            })
        };
        verify(&parts, &body, &secrets, now(), &KeyCache::new()).map(|_| ())
    };
    for presigned in [false, true] {
        assert_eq!(
            verify_with(Some("token/+="), Some("token/+="), presigned),
            Ok(())
        );
        let refused = Err(AuthError::UnknownAccessKey);
        assert_eq!(
            verify_with(Some("token"), Some("another"), presigned),
            refused
        );
        assert_eq!(verify_with(Some("token"), None, presigned), refused);
        assert_eq!(verify_with(None, Some("token"), presigned), refused);
    }
}

#[test]
fn what_is_no_signature_is_named() {
    let with = |authorization: &str| {
        let mut request = Case::new("GET", LAMBDA).signed();
        let value = HeaderValue::from_str(authorization).unwrap();
        request.headers_mut().insert("authorization", value);
        message(check(request))
    };
    let mut unsigned = Case::new("GET", LAMBDA).signed();
    unsigned.headers_mut().remove("authorization");
    assert_eq!(
        message(check(unsigned)),
        (
            "MissingAuthenticationTokenException".to_owned(),
            403,
            "Missing Authentication Token".to_owned()
        )
    );
    let full = |credential: &str| {
        format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=00")
    };
    let (code, _, text) = with("AWS4-HMAC-SHA256 Credential=x");
    assert_eq!(code, "IncompleteSignatureException");
    assert!(text.contains("requires 'Signature' parameter"), "{text}");
    // `openssl dgst -sha256 -binary | base64` of the header.
    assert_eq!(
        with("Bearer abc").2,
        "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 \
         and encoded with Base64): 'w1Xc6WwWEogNEZQP/dkBTThsJT4MNlKmzQanIm970rY='."
    );
    assert_eq!(
        with("Basic eHg6eXk=").2,
        "Authorization header requires 'Credential' parameter. Authorization header requires \
         'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. (Hashed \
         with SHA-256 and encoded with Base64) Authorization=gggH8mmqg9yFjrfTrP1JCe2mA8VJwVeAuprfrCW18xc="
    );
    let other = full("id/20260301/r/s/aws4_request").replace("SHA256", "SHA1");
    assert!(
        with(&other)
            .2
            .contains("Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA1'")
    );
    assert!(
        with(&full("id/20260301/r/s"))
            .2
            .contains("exactly 5 slash-delimited elements")
    );
    assert!(
        with(&full("id/20260302/r/s/aws4_request"))
            .2
            .contains("'20260302' != '20260301'")
    );
    assert!(
        with(&full("id/20260301/r/s/aws5_request"))
            .2
            .contains("valid terminator")
    );
    assert_eq!(
        with(&full("id/20260301/r:/s/aws4_request")).2,
        "Credential should be scoped to a valid region, not 'r:'. "
    );
    assert_eq!(
        with(&full("id/20260301/r/s/aws4_request")).0,
        "UnrecognizedClientException"
    );
}

#[test]
fn dates_that_are_none_are_named() {
    let with = |name: &'static str, value: &'static str| {
        let mut request = Case::new("GET", LAMBDA).signed();
        request.headers_mut().remove("x-amz-date");
        let value = HeaderValue::from_static(value);
        request.headers_mut().insert(name, value);
        check(request).map(|signed| signed.signed_at)
    };
    let named = |found: Result<_, AuthError>| found.unwrap_err().to_string();
    for (name, value) in [
        ("x-amz-date", "2026-03-01T12:00:00Z"),
        ("date", "yesterday"),
    ] {
        assert_eq!(
            named(with(name, value)),
            format!(
                "Date must be in ISO-8601 'basic format'. Got '{value}'. See \
                 http://en.wikipedia.org/wiki/ISO_8601"
            )
        );
    }
    let none = named(with("x-other", ""));
    assert!(none.contains("requires existence of either a 'X-Amz-Date'"));
    // The date is of the form that HTTP has, and what fails is that another header was signed.
    let http = with("date", "Sun, 01 Mar 2026 12:00:00 GMT");
    assert_eq!(http, Err(AuthError::Mismatch));
}

#[test]
fn what_a_presigned_address_lacks_is_listed() {
    let case = Case {
        presigned: true,
        ..Case::new("GET", LAMBDA)
    };
    let mut request = case.signed();
    let uri = request.uri().to_string();
    let uri = uri
        .replace("X-Amz-Signature", "x")
        .replace("X-Amz-Date", "y");
    *request.uri_mut() = uri.parse().unwrap();
    assert_eq!(
        message(check(request)).2,
        "AWS query-string parameters must include 'X-Amz-Signature'. AWS query-string parameters \
         must include 'X-Amz-Date'. Re-examine the query-string parameters."
    );
}

/// A long header named again and again would become a text of hundreds of megabytes.
#[test]
fn no_header_is_signed_twice() {
    let mut request = Case::new("GET", LAMBDA).signed();
    let value = request.headers()["authorization"].to_str().unwrap();
    let value = value.replace(
        "SignedHeaders=",
        &format!("SignedHeaders={}", "a;".repeat(9000)),
    );
    let headers = request.headers_mut();
    headers.insert("authorization", value.parse().unwrap());
    headers.insert("a", "a".repeat(9000).parse().unwrap());
    let secrets = |_: &str| -> Option<Secret> { panic!("nobody asks who it is") };
    let (parts, _) = request.into_parts();
    let refused = verify(&parts, b"", &secrets, now(), &KeyCache::new());
    assert!(matches!(refused, Err(AuthError::Invalid(_))), "{refused:?}");
}

#[test]
fn unchecked_credentials_name_account_and_region() {
    let request = Request::builder()
        .uri("/2015-03-31/functions")
        .header(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=123456789012/20260301/eu-west-1/lambda/aws4_request,\
             SignedHeaders=host;x-amz-date,Signature=abc",
        )
        .header("x-amz-date", "20260301T120000Z")
        .body(())
        .unwrap();
    let (parts, ()) = request.into_parts();
    let claimed = wire::sigv4::parse(&parts).unwrap();
    assert_eq!(claimed.account_id(), Some("123456789012"));
    assert_eq!(
        (claimed.region.as_ref(), claimed.service.as_ref()),
        ("eu-west-1", "lambda")
    );

    let presigned = Case {
        presigned: true,
        ..Case::new("GET", LAMBDA)
    }
    .signed();
    let (parts, _) = presigned.into_parts();
    let claimed = wire::sigv4::parse(&parts).unwrap();
    assert_eq!(
        (claimed.access_key_id.as_ref(), claimed.account_id()),
        (KEY_ID, None)
    );
}
