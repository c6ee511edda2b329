//! Signature Version 2 as S3 still takes it: an HMAC over a few parts of a request, in a header or in
//! the query string. SDKs still presign with it.

use std::borrow::Cow;

use aws_lc_rs::{constant_time, hmac};
use http::{HeaderMap, header, request::Parts};
use jiff::{SignedDuration, Timestamp};

use crate::{
    protocol::base64_decode,
    query,
    schema::TimestampFormat,
    sigv4::{AuthError, Secret},
    time,
};

/// How far the signer's clock may be off.
const SKEW: SignedDuration = SignedDuration::from_mins(15);

/// The parameters that are part of what a request is for.
const SUBRESOURCES: &[&str] = &[
    "accelerate",
    "acl",
    "analytics",
    "cors",
    "delete",
    "encryption",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "lifecycle",
    "location",
    "logging",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "partNumber",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "replication",
    "requestPayment",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "restore",
    "retention",
    "select",
    "select-type",
    "storageClass",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "website",
];

/// What a request says about its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed<'a> {
    pub access_key_id: Cow<'a, str>,
    pub session_token: Option<Cow<'a, str>>,
    signature: Cow<'a, str>,
    /// Of a presigned address: when it ends, in seconds since 1970 as it was written.
    expires: Option<Cow<'a, str>>,
}

/// Who a request claims to come from, if it is signed so. None where it is signed otherwise or not.
pub fn claim(parts: &Parts) -> Option<Result<Claimed<'_>, AuthError>> {
    if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
        let rest = value.to_str().ok()?.strip_prefix("AWS ")?;
        let Some((id, signature)) = rest.trim().rsplit_once(':') else {
            return Some(Err(AuthError::no_pair(rest)));
        };
        let token = parts.headers.get("x-amz-security-token");
        return Some(Ok(Claimed {
            access_key_id: Cow::Borrowed(id),
            session_token: token.and_then(|v| v.to_str().ok()).map(Cow::Borrowed),
            signature: Cow::Borrowed(signature),
            expires: None,
        }));
    }
    let query = parts.uri.query()?;
    let parameter = |name: &str| {
        let (_, value) = query::pairs(query).find(|(n, _)| n.eq_ignore_ascii_case(name))?;
        Some(query::decode(value))
    };
    let given = ["AWSAccessKeyId", "Signature", "Expires"].map(parameter);
    match given {
        [None, None, _] => None,
        [Some(access_key_id), Some(signature), Some(expires)] => Some(Ok(Claimed {
            access_key_id,
            session_token: parameter("x-amz-security-token"),
            signature,
            expires: Some(expires),
        })),
        _ => Some(Err(AuthError::incomplete_old_query())),
    }
}

impl Claimed<'_> {
    /// Whether it is of now.
    pub fn check_time(&self, parts: &Parts, now: Timestamp) -> Result<(), AuthError> {
        if let Some(expires) = &self.expires {
            let end = expires
                .parse()
                .ok()
                .and_then(|s| Timestamp::from_second(s).ok());
            let end = end.ok_or_else(AuthError::incomplete_old_query)?;
            return match end < now {
                true => Err(AuthError::Expired {
                    at: end,
                    end,
                    limit: now,
                    now,
                    presigned: true,
                }),
                false => Ok(()),
            };
        }
        let text = |name: &str| parts.headers.get(name).and_then(|v| v.to_str().ok());
        let at = text("x-amz-date").or_else(|| text("date"));
        let at =
            at.and_then(|at| time::parse(TimestampFormat::Rfc822, &at.replace("+0000", "GMT")));
        let at = at.ok_or(AuthError::Missing)?;
        if now.duration_since(at).abs() > SKEW {
            let limit = now;
            return Err(AuthError::NotYet { at, limit, now });
        }
        Ok(())
    }

    /// Whether it is what these secrets make. `bucket` is the one that the host names, if it does.
    pub fn check(
        &self,
        parts: &Parts,
        bucket: Option<&str>,
        secret: &Secret,
    ) -> Result<(), AuthError> {
        let text = string_to_sign(parts, bucket, self.expires.as_deref());
        let key = hmac::Key::new(
            hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            secret.secret_access_key.as_bytes(),
        );
        check_mac(&key, text.as_bytes(), &self.signature)
    }
}

/// Whether a form's policy, in base64 as it came, is signed so.
pub fn check_policy(policy: &str, signature: &str, secret: &Secret) -> Result<(), AuthError> {
    let key = hmac::Key::new(
        hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        secret.secret_access_key.as_bytes(),
    );
    check_mac(&key, policy.as_bytes(), signature)
}

fn check_mac(key: &hmac::Key, text: &[u8], signature: &str) -> Result<(), AuthError> {
    let expected = hmac::sign(key, text);
    let given = base64_decode(signature).ok_or(AuthError::Mismatch)?;
    constant_time::verify_slices_are_equal(expected.as_ref(), &given)
        .map_err(|_| AuthError::Mismatch)
}

fn string_to_sign(parts: &Parts, bucket: Option<&str>, expires: Option<&str>) -> String {
    let headers = &parts.headers;
    let query = parts.uri.query().unwrap_or_default();
    let value = |name: &str| {
        let in_header = headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .map(str::to_owned);
        let in_query = || {
            let found = query::pairs(query).find(|(n, _)| n.eq_ignore_ascii_case(name))?;
            expires.map(|_| query::decode(found.1).into_owned())
        };
        in_header.or_else(in_query).unwrap_or_default()
    };
    let date = match expires {
        Some(expires) => expires.to_owned(),
        None if headers.contains_key("x-amz-date") => String::new(),
        None => value("date"),
    };
    let mut out = format!(
        "{}\n{}\n{}\n{date}\n",
        parts.method,
        value("content-md5"),
        value("content-type")
    );
    for (name, value) in amz_headers(headers, query, expires.is_some()) {
        out.push_str(&format!("{name}:{value}\n"));
    }
    if let Some(bucket) = bucket {
        out.push('/');
        out.push_str(bucket);
    }
    out.push_str(parts.uri.path());
    let mut named: Vec<(&str, &str)> = query::pairs(query)
        .filter(|(name, _)| SUBRESOURCES.contains(name))
        .collect();
    named.sort_unstable();
    for (n, (name, value)) in named.iter().enumerate() {
        out.push(if n == 0 { '?' } else { '&' });
        out.push_str(name);
        if !value.is_empty() {
            out.push('=');
            out.push_str(&query::decode(value));
        }
    }
    out
}

/// By name; a presigned address has some of them in its query string.
fn amz_headers(headers: &HeaderMap, query: &str, presigned: bool) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    for name in headers
        .keys()
        .filter(|name| name.as_str().starts_with("x-amz-"))
    {
        let values = headers.get_all(name).iter();
        let values =
            values.map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_owned());
        out.push((
            name.as_str().to_owned(),
            values.collect::<Vec<_>>().join(","),
        ));
    }
    for (name, value) in query::pairs(query).filter(|_| presigned) {
        let name = name.to_ascii_lowercase();
        if name.starts_with("x-amz-") && !headers.contains_key(&name) {
            out.push((name, query::decode(value).into_owned()));
        }
    }
    out.sort_unstable();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Secret {
        Secret {
            secret_access_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
            session_token: None,
        }
    }

    fn parts(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    /// The examples of AWS's documentation of this version.
    #[test]
    fn the_examples_of_the_documentation_hold() {
        let check = |method, uri, headers: &[(&str, &str)], signature: &str, bucket| {
            let authorization = format!("AWS AKIAIOSFODNN7EXAMPLE:{signature}");
            let mut headers = headers.to_vec();
            headers.push(("authorization", &authorization));
            let parts = parts(method, uri, &headers);
            let claimed = claim(&parts).unwrap().unwrap();
            assert_eq!(claimed.access_key_id, "AKIAIOSFODNN7EXAMPLE");
            assert_eq!(
                claimed.check(&parts, bucket, &secret()),
                Ok(()),
                "{method} {uri}"
            );
            assert!(claimed.check(&parts, Some("other"), &secret()).is_err());
        };
        let bucket = Some("awsexamplebucket1");
        let date = ("date", "Tue, 27 Mar 2007 19:36:42 +0000");
        check(
            "GET",
            "/photos/puppy.jpg",
            &[date],
            "qgk2+6Sv9/oM7G3qLEjTH1a1l1g=",
            bucket,
        );
        let put = [
            ("content-type", "image/jpeg"),
            ("date", "Tue, 27 Mar 2007 21:15:45 +0000"),
        ];
        check(
            "PUT",
            "/photos/puppy.jpg",
            &put,
            "iqRzw+ileNPu1fhspnRs8nOjjIA=",
            bucket,
        );
        let list = ("date", "Tue, 27 Mar 2007 19:42:41 +0000");
        let uri = "/?prefix=photos&max-keys=50&marker=puppy";
        check("GET", uri, &[list], "m0WP8eCtspQl5Ahe6L1SozdX9YA=", bucket);
        let acl = ("date", "Tue, 27 Mar 2007 19:44:46 +0000");
        check(
            "GET",
            "/?acl",
            &[acl],
            "82ZHiFIjc+WbcwFKGUVEQspPn+0=",
            bucket,
        );
    }

    #[test]
    fn an_address_is_good_until_it_ends() {
        let uri = "/b/k?AWSAccessKeyId=AKID&Signature=x&Expires=100";
        let parts = parts("GET", uri, &[]);
        let claimed = claim(&parts).unwrap().unwrap();
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(claimed.check_time(&parts, at(100)), Ok(()));
        assert!(claimed.check_time(&parts, at(101)).is_err());
        let half = super::tests::parts("GET", "/b/k?AWSAccessKeyId=AKID&Signature=x", &[]);
        assert!(claim(&half).unwrap().is_err());
        let none = super::tests::parts("GET", "/b/k?Expires=1", &[]);
        assert!(claim(&none).is_none());
    }
}
