//! What a request says about its signature, in either form, and what is wrong with how it says it.

use std::borrow::Cow;

use http::request::Parts;
use jiff::{Timestamp, civil, tz::Offset};

use super::AuthError;
use crate::{query, schema::TimestampFormat, time};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// The longest life of a presigned address: a week.
const EXPIRES_MAX_S: u32 = 604_800;
/// The longest of AWS's own has fourteen.
const REGION_BYTES_MAX: usize = 32;

/// The access key id and the scope that a request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed<'a> {
    pub access_key_id: Cow<'a, str>,
    pub region: Cow<'a, str>,
    pub service: Cow<'a, str>,
}

impl Claimed<'_> {
    /// The account that an access key id of twelve digits names.
    pub fn account_id(&self) -> Option<&str> {
        let id = self.access_key_id.as_ref();
        (id.len() == 12 && id.bytes().all(|b| b.is_ascii_digit())).then_some(id)
    }
}

pub(super) struct Claim<'a> {
    pub claimed: Claimed<'a>,
    /// The scope's day, as given.
    pub date: Cow<'a, str>,
    pub terminator: Cow<'a, str>,
    pub signed_headers: Cow<'a, str>,
    pub signature: Cow<'a, str>,
    pub session_token: Option<Cow<'a, str>>,
    pub at: Timestamp,
    pub form: Form,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Header,
    /// A presigned address, good for so many seconds.
    Query {
        expires: u32,
    },
}

impl<'a> Claim<'a> {
    pub fn read(parts: &'a Parts) -> Result<Self, AuthError> {
        if let Some(value) = parts.headers.get(http::header::AUTHORIZATION) {
            let value = value.to_str().map_err(|_| AuthError::Missing)?;
            return Self::from_header(parts, value);
        }
        let query = parts.uri.query().unwrap_or_default();
        if parameter(query, "X-Amz-Algorithm").is_some() {
            return Self::from_query(query);
        }
        Err(AuthError::Missing)
    }

    fn from_header(parts: &'a Parts, value: &'a str) -> Result<Self, AuthError> {
        let (algorithm, rest) = value.split_once(' ').unwrap_or((value, ""));
        let pieces = || {
            rest.split([',', ' ', '\t'])
                .filter(|piece| !piece.is_empty())
        };
        if algorithm.is_empty() || rest.is_empty() || pieces().any(|piece| !piece.contains('=')) {
            return Err(AuthError::no_pair(value));
        }
        let field = |name: &str| {
            pieces()
                .filter_map(|piece| piece.split_once('='))
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value)
        };
        let fields = (
            field("Credential"),
            field("Signature"),
            field("SignedHeaders"),
            header_time(parts)?,
        );
        let (Some(credential), Some(signature), Some(signed_headers), Some(at)) = fields else {
            return Err(AuthError::incomplete_header(
                [
                    ("Credential", fields.0.is_none()),
                    ("Signature", fields.1.is_none()),
                    ("SignedHeaders", fields.2.is_none()),
                ],
                fields.3.is_none(),
                value,
            ));
        };
        check_algorithm(algorithm)?;
        let [access_key_id, date, region, service, terminator] = elements(credential)
            .map_err(AuthError::credential)?
            .map(Cow::Borrowed);
        let token = parts
            .headers
            .get("x-amz-security-token")
            .and_then(|v| v.to_str().ok());
        Ok(Self {
            claimed: Claimed {
                access_key_id,
                region,
                service,
            },
            date,
            terminator,
            signed_headers: Cow::Borrowed(signed_headers),
            signature: Cow::Borrowed(signature),
            session_token: token.map(Cow::Borrowed),
            at,
            form: Form::Header,
        })
    }

    fn from_query(query: &'a str) -> Result<Self, AuthError> {
        const NAMES: [&str; 6] = [
            "X-Amz-Algorithm",
            "X-Amz-Credential",
            "X-Amz-Signature",
            "X-Amz-SignedHeaders",
            "X-Amz-Date",
            "X-Amz-Expires",
        ];
        let given = NAMES.map(|name| parameter(query, name));
        let [
            Some(algorithm),
            Some(credential),
            Some(signature),
            Some(signed_headers),
            Some(date),
            Some(expires),
        ] = given
        else {
            let missing = NAMES.into_iter().zip(&given);
            let missing = missing.filter_map(|(name, value)| value.is_none().then_some(name));
            return Err(AuthError::incomplete_query(missing));
        };
        check_algorithm(&algorithm)?;
        let at = basic_time(&date).ok_or_else(|| AuthError::bad_date(&date))?;
        let expires = expires
            .parse()
            .ok()
            .filter(|s| (1..=EXPIRES_MAX_S).contains(s));
        let expires = expires.ok_or_else(AuthError::expires_out_of_range)?;
        let [access_key_id, date, region, service, terminator] = elements(&credential)
            .map_err(AuthError::credential)?
            .map(|element| Cow::Owned(element.to_owned()));
        Ok(Self {
            claimed: Claimed {
                access_key_id,
                region,
                service,
            },
            date,
            terminator,
            signed_headers,
            signature,
            session_token: parameter(query, "X-Amz-Security-Token"),
            at,
            form: Form::Query { expires },
        })
    }

    pub fn is_query(&self) -> bool {
        matches!(self.form, Form::Query { .. })
    }

    /// What has to hold of the scope and the signed headers whatever the signature is.
    pub fn check_scope(&self) -> Result<(), AuthError> {
        if self.terminator != "aws4_request" {
            return Err(AuthError::terminator(&self.terminator));
        }
        let at = time::iso8601_basic(self.at);
        if !at.starts_with(self.date.as_ref()) || self.date.len() != 8 {
            return Err(AuthError::scope_date(&self.date, &at));
        }
        self.check_region()?;
        if !self.signed_headers.split(';').any(|name| name == "host") {
            return Err(AuthError::host_not_signed());
        }
        self.check_signed_headers()
    }

    /// Regions become parts of ARNs, of host names and of what is stored.
    pub fn check_region(&self) -> Result<(), AuthError> {
        let region = self.claimed.region.as_ref();
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if region.len() <= REGION_BYTES_MAX && region.bytes().all(plain) {
            Ok(())
        } else {
            Err(AuthError::region(region))
        }
    }

    /// No signer names a header twice. Whoever did could have a long one copied thousands of times
    /// over into the text that is hashed.
    fn check_signed_headers(&self) -> Result<(), AuthError> {
        let mut names: Vec<&str> = self.signed_headers.split(';').collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(AuthError::header_signed_twice());
        }
        Ok(())
    }

    pub fn signature_bytes(&self) -> Option<[u8; 32]> {
        signature_bytes(&self.signature)
    }
}

pub(super) fn signature_bytes(text: &str) -> Option<[u8; 32]> {
    let text = text.as_bytes();
    if text.len() != 64 {
        return None;
    }
    let mut out = [0; 32];
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        *byte = query::hex_pair(pair[0], pair[1])?;
    }
    Some(out)
}

pub(super) fn claimed_in(credential: &str) -> Result<Claimed<'_>, AuthError> {
    let elements = elements(credential).map_err(AuthError::credential)?;
    let [access_key_id, _, region, service, _] = elements.map(Cow::Borrowed);
    Ok(Claimed {
        access_key_id,
        region,
        service,
    })
}

fn check_algorithm(algorithm: &str) -> Result<(), AuthError> {
    match algorithm {
        ALGORITHM => Ok(()),
        other => Err(AuthError::algorithm(other)),
    }
}

/// `keyid/date/region/service/aws4_request`
fn elements(credential: &str) -> Result<[&str; 5], &str> {
    let mut split = credential.split('/');
    let elements = std::array::from_fn(|_| split.next().unwrap_or_default());
    let complete = split.next().is_none() && elements.iter().all(|e| !e.is_empty());
    if complete {
        Ok(elements)
    } else {
        Err(credential)
    }
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    query::pairs(query)
        .find(|(key, _)| *key == name)
        .map(|(_, value)| query::decode(value))
}

/// When a request says that it was signed, if it does.
fn header_time(parts: &Parts) -> Result<Option<Timestamp>, AuthError> {
    let header = |name: &str| {
        parts
            .headers
            .get(name)
            .map(|v| v.to_str().unwrap_or_default())
    };
    if let Some(text) = header("x-amz-date") {
        return basic_time(text)
            .map(Some)
            .ok_or_else(|| AuthError::bad_date(text));
    }
    let Some(text) = header("date") else {
        return Ok(None);
    };
    basic_time(text)
        .or_else(|| time::parse(TimestampFormat::Rfc822, text))
        .map(Some)
        .ok_or_else(|| AuthError::bad_date(text))
}

/// `20240501T093000Z`
fn basic_time(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' {
        return None;
    }
    let number = |at: usize, digits: usize| {
        bytes[at..at + digits].iter().try_fold(0i16, |n, b| {
            b.is_ascii_digit().then(|| n * 10 + i16::from(b - b'0'))
        })
    };
    let two = |at| number(at, 2).and_then(|n| i8::try_from(n).ok());
    let date = civil::Date::new(number(0, 4)?, two(4)?, two(6)?).ok()?;
    let at = date.to_datetime(civil::Time::new(two(9)?, two(11)?, two(13)?, 0).ok()?);
    Offset::UTC.to_timestamp(at).ok()
}
