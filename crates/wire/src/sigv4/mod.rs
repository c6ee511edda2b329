//! Signature Version 4: who signed a request, and whether it is what they signed.
//!
//! Both forms are read, the `Authorization` header and the query string of a presigned address, for
//! any service and region. Time is an argument, and secrets come from the caller. What a credential
//! may do, and whether the scope's service is the one that was called, is decided elsewhere.

mod canonical;
mod chunks;
mod error;
mod keys;
mod request;

use std::{borrow::Cow, fmt, sync::Arc};

use aws_lc_rs::{constant_time, digest, hmac};
use http::request::Parts;
use jiff::{SignedDuration, Timestamp};

use crate::time;

pub use chunks::ChunkSigner;
pub use error::AuthError;
pub use keys::KeyCache;
pub use request::Claimed;

use request::{Claim, Form};

/// How far the signer's clock may be off.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// What a caller's secrets are. Temporary credentials have a session token, which has to come with
/// the request.
#[derive(Clone)]
pub struct Secret {
    pub secret_access_key: Arc<str>,
    pub session_token: Option<Arc<str>>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").finish_non_exhaustive()
    }
}

/// A request whose signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    pub access_key_id: String,
    pub region: String,
    pub service: String,
    /// In lower case, separated by semicolons.
    pub signed_headers: String,
    pub signed_at: Timestamp,
    pub payload: Payload,
}

/// How much of the body the signature covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    Hashed,
    Unsigned,
    /// The body comes in chunks that carry signatures of their own (S3), still to be checked.
    Chunked,
}

/// Who a request claims to come from, without any check.
pub fn parse(parts: &Parts) -> Option<Claimed<'_>> {
    Claim::read(parts).ok().map(|claim| claim.claimed)
}

/// Who a request claims to come from, if what it says could be a signature: for development, where
/// all credentials pass and only name the account and the region.
pub fn claim(parts: &Parts) -> Result<Claimed<'_>, AuthError> {
    let claim = Claim::read(parts)?;
    claim.check_region()?;
    claim.signature_bytes().ok_or(AuthError::Mismatch)?;
    Ok(claim.claimed)
}

/// Whether a presigned address is still good, where nothing else of it is checked.
pub fn check_presigned_time(parts: &Parts, now: Timestamp) -> Result<(), AuthError> {
    let claim = Claim::read(parts)?;
    match claim.is_query() {
        true => check_time(&claim, now),
        false => Ok(()),
    }
}

/// Who a form claims to come from: by its field `x-amz-credential`.
pub fn claim_of_form(credential: &str) -> Result<Claimed<'_>, AuthError> {
    request::claimed_in(credential)
}

/// Checks the signature of a form's policy, which is in base64 as it came.
pub fn check_policy(
    credential: &str,
    policy: &str,
    signature: &str,
    secret: &Secret,
    keys: &KeyCache,
) -> Result<(), AuthError> {
    let claimed = request::claimed_in(credential)?;
    let date = credential.split('/').nth(1).unwrap_or_default();
    let key = keys.get(secret, date, &claimed.region, &claimed.service);
    let expected = hmac::sign(&key.key, policy.as_bytes());
    let given = request::signature_bytes(signature).ok_or(AuthError::Mismatch)?;
    constant_time::verify_slices_are_equal(expected.as_ref(), &given)
        .map_err(|_| AuthError::Mismatch)?;
    keys.keep(key);
    Ok(())
}

/// Checks a request's signature. `credentials` gives the secrets of an access key id, if there are
/// any.
pub fn verify(
    parts: &Parts,
    body: &[u8],
    credentials: &impl Fn(&str) -> Option<Secret>,
    now: Timestamp,
    keys: &KeyCache,
) -> Result<Signed, AuthError> {
    verify_part(parts, Some(body), credentials, now, keys).map(|(signed, _)| signed)
}

/// Checks the signature of a request to S3 before its body is there: that is to be what the head says
/// of it, which is for whoever reads it to see. What signs its chunks comes along, if they are signed.
pub fn verify_head(
    parts: &Parts,
    credentials: &impl Fn(&str) -> Option<Secret>,
    now: Timestamp,
    keys: &KeyCache,
) -> Result<(Signed, Option<ChunkSigner>), AuthError> {
    verify_part(parts, None, credentials, now, keys)
}

fn verify_part(
    parts: &Parts,
    body: Option<&[u8]>,
    credentials: &impl Fn(&str) -> Option<Secret>,
    now: Timestamp,
    keys: &KeyCache,
) -> Result<(Signed, Option<ChunkSigner>), AuthError> {
    let claim = Claim::read(parts)?;
    claim.check_scope()?;
    check_time(&claim, now)?;
    let key_id = claim.claimed.access_key_id.as_ref();
    let secret = credentials(key_id).ok_or(AuthError::UnknownAccessKey)?;
    check_token(&secret, claim.session_token.as_deref())?;

    let (payload, hash) = payload(parts, body, &claim)?;
    let canonical = canonical::request(parts, &claim, &hash);
    let to_sign = string_to_sign(&claim, &canonical);
    let key = keys.get(
        &secret,
        &claim.date,
        &claim.claimed.region,
        &claim.claimed.service,
    );
    let expected = hmac::sign(&key.key, to_sign.as_bytes());
    let given = claim.signature_bytes().ok_or(AuthError::Mismatch)?;
    constant_time::verify_slices_are_equal(expected.as_ref(), &given)
        .map_err(|_| AuthError::Mismatch)?;
    let chunks = (payload == Payload::Chunked).then(|| {
        let scope = scope(&claim);
        ChunkSigner::new(key.key.clone(), claim.at, &scope, &claim.signature)
    });
    keys.keep(key);

    let Claimed {
        access_key_id,
        region,
        service,
    } = claim.claimed;
    let signed = Signed {
        access_key_id: access_key_id.into_owned(),
        region: region.into_owned(),
        service: service.into_owned(),
        signed_headers: claim.signed_headers.into_owned(),
        signed_at: claim.at,
        payload,
    };
    Ok((signed, chunks))
}

fn check_time(claim: &Claim<'_>, now: Timestamp) -> Result<(), AuthError> {
    let at = claim.at;
    // Times are at most four digits of year, and a few minutes more are still in range.
    if at > now.saturating_add(SKEW).unwrap_or(Timestamp::MAX) {
        let limit = now.saturating_add(SKEW).unwrap_or(Timestamp::MAX);
        return Err(AuthError::NotYet { at, limit, now });
    }
    let (lifetime, presigned) = match claim.form {
        Form::Header => (SKEW, false),
        Form::Query { expires } => (SignedDuration::from_secs(i64::from(expires)), true),
    };
    let end = at.saturating_add(lifetime).unwrap_or(Timestamp::MAX);
    if end < now {
        let limit = now.saturating_sub(SKEW).unwrap_or(Timestamp::MIN);
        return Err(AuthError::Expired {
            at,
            end,
            limit,
            now,
            presigned,
        });
    }
    Ok(())
}

/// Whether the session token that comes along is that of the credentials.
pub fn check_token(secret: &Secret, given: Option<&str>) -> Result<(), AuthError> {
    match (secret.session_token.as_deref(), given) {
        (None, None) => Ok(()),
        (Some(expected), Some(given)) => {
            constant_time::verify_slices_are_equal(expected.as_bytes(), given.as_bytes())
                .map_err(|_| AuthError::UnknownAccessKey)
        }
        _ => Err(AuthError::UnknownAccessKey),
    }
}

/// What stands for the body in what is signed.
fn payload<'a>(
    parts: &'a Parts,
    body: Option<&[u8]>,
    claim: &Claim<'_>,
) -> Result<(Payload, Cow<'a, str>), AuthError> {
    const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
    let s3 = claim.claimed.service == "s3";
    let given = parts
        .headers
        .get("x-amz-content-sha256")
        .and_then(|v| v.to_str().ok());
    match given {
        // Of all other services some take it for an operation or two, and Lambda for none.
        Some(UNSIGNED) if s3 => Ok((Payload::Unsigned, Cow::Borrowed(UNSIGNED))),
        Some(chunked) if s3 && chunked.starts_with("STREAMING-") => {
            Ok((Payload::Chunked, Cow::Borrowed(chunked)))
        }
        // An address for S3 is signed before anybody knows the body.
        None if s3 && claim.is_query() => Ok((Payload::Unsigned, Cow::Borrowed(UNSIGNED))),
        // What it says is signed, and the body still has to keep it.
        Some(given) if s3 && body.is_none() => Ok((Payload::Hashed, Cow::Borrowed(given))),
        given => {
            let body = body.unwrap_or_default();
            let hash = hex(digest::digest(&digest::SHA256, body).as_ref());
            match given {
                Some(given) if given != hash => Err(AuthError::PayloadMismatch),
                _ => Ok((Payload::Hashed, Cow::Owned(hash))),
            }
        }
    }
}

fn string_to_sign(claim: &Claim<'_>, canonical: &str) -> String {
    let hash = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let (at, scope) = (time::iso8601_basic(claim.at), scope(claim));
    format!("AWS4-HMAC-SHA256\n{at}\n{scope}\n{hash}")
}

fn scope(claim: &Claim<'_>) -> String {
    let Claimed {
        region, service, ..
    } = &claim.claimed;
    format!("{}/{region}/{service}/aws4_request", claim.date)
}

fn hex(bytes: &[u8]) -> String {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from(HEX[usize::from(byte >> 4)]));
        out.push(char::from(HEX[usize::from(byte & 15)]));
    }
    out
}
