//! Who asks S3: by a signature of either version, or nobody, to whom buckets may be open all the same.

use http::{StatusCode, header, request::Parts};
use jiff::Timestamp;
use wire::{
    Error, Protocol, Route,
    s3::{address, form::Fields},
    sigv2,
    sigv4::{self, AuthError, ChunkSigner, Claimed},
};

use crate::identity::{Caller, DEFAULT_REGION, Identity, Sender};

const SERVICE: &str = "s3";

/// Why nobody is let in, in S3's words or in those of a signature.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refused {
    #[error("{0}")]
    Auth(#[from] AuthError),
    #[error("{0}")]
    Error(#[from] Error),
}

impl Refused {
    pub fn to_error(&self, protocol: Protocol) -> Error {
        match self {
            Self::Auth(error) => error.to_error(protocol),
            Self::Error(error) => error.clone(),
        }
    }
}

/// Who asks, and what checks the chunks of the body, if those are signed.
pub fn caller(
    identity: &Identity,
    sender: &Sender,
    route: &Route,
    parts: &Parts,
    now: Timestamp,
) -> Result<(Caller, Option<ChunkSigner>), Refused> {
    if let Some(claim) = sigv2::claim(parts) {
        let claim = claim?;
        claim.check_time(parts, now)?;
        let bucket = address::bucket_in_host(parts, route.labels.get("Bucket"));
        let claimed = claimed(&claim.access_key_id, parts);
        let token = claim.session_token.as_deref();
        let caller = identity.caller_of(sender, parts, claimed, token, |secret, _| {
            claim.check(parts, bucket.as_deref(), secret)
        });
        return Ok((caller?, None));
    }
    if let Some(given) = parts.headers.get(header::AUTHORIZATION)
        && !given.as_bytes().starts_with(b"AWS")
    {
        return Err(unsupported(given.to_str().unwrap_or_default()).into());
    }
    // A page's question comes without credentials, and a form with its own. Nobody may do only what
    // anyone may, so it does not matter from which page that comes.
    if matches!(sigv4::claim(parts), Err(AuthError::Missing)) {
        return Ok((nobody(parts), None));
    }
    match identity.caller_by_head(sender, parts, now) {
        Ok((caller, _)) if caller.service != SERVICE => {
            Err(AuthError::wrong_service(SERVICE).into())
        }
        Ok(known) => {
            // In development this is all that there is to a presigned address.
            sigv4::check_presigned_time(parts, now)?;
            Ok(known)
        }
        Err(error) => Err(error.into()),
    }
}

/// Who sends a form, by what is signed in it.
pub fn of_form(
    identity: &Identity,
    sender: &Sender,
    parts: &Parts,
    fields: &Fields,
    policy: &str,
) -> Result<Caller, Refused> {
    let token = fields.get("x-amz-security-token");
    if let Some(algorithm) = fields.get("x-amz-algorithm") {
        if algorithm != "AWS4-HMAC-SHA256" {
            let message = "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"";
            return Err(invalid(message, "x-amz-algorithm", algorithm).into());
        }
        let credential = field(fields, "x-amz-credential", "X-Amz-Credential")?;
        let signature = field(fields, "x-amz-signature", "X-Amz-Signature")?;
        field(fields, "x-amz-date", "X-Amz-Date")?;
        let claimed = sigv4::claim_of_form(credential)?;
        if claimed.service != SERVICE {
            return Err(AuthError::wrong_service(SERVICE).into());
        }
        let caller = identity.caller_of(sender, parts, claimed, token, |secret, keys| {
            sigv4::check_policy(credential, policy, signature, secret, keys)
        });
        return Ok(caller?);
    }
    let id = field(fields, "awsaccesskeyid", "AWSAccessKeyId")?;
    let signature = field(fields, "signature", "Signature")?;
    let caller = identity.caller_of(sender, parts, claimed(id, parts), token, |secret, _| {
        sigv2::check_policy(policy, signature, secret)
    });
    Ok(caller?)
}

fn field<'a>(fields: &'a Fields, name: &str, said: &str) -> Result<&'a str, Error> {
    fields.get(name).ok_or_else(|| no_field(said))
}

pub fn no_field(said: &str) -> Error {
    let message = format!(
        "Bucket POST must contain a field named '{said}'.  If it is specified, please check the \
         order of the fields."
    );
    invalid(&message, said, "")
}

fn invalid(message: &str, name: &str, value: &str) -> Error {
    let value: String = value.chars().take(256).collect();
    Error::new("InvalidArgument", StatusCode::BAD_REQUEST, message)
        .with("ArgumentName", name)
        .with("ArgumentValue", value)
}

/// What it holds may be a secret.
fn unsupported(given: &str) -> Error {
    let scheme = given.split(' ').next().unwrap_or_default();
    invalid("Unsupported Authorization Type", "Authorization", scheme)
}

fn claimed<'a>(access_key_id: &'a str, parts: &Parts) -> Claimed<'a> {
    Claimed {
        access_key_id: access_key_id.into(),
        region: region(parts).into(),
        service: SERVICE.into(),
    }
}

/// Has no account and no key.
fn nobody(parts: &Parts) -> Caller {
    Caller {
        access_key_id: String::new(),
        account_id: String::new(),
        role: None,
        region: region(parts),
        service: SERVICE.to_owned(),
    }
}

/// What does not say its region is for that which the host names.
fn region(parts: &Parts) -> String {
    let named = address::of(parts, None).ok().and_then(|to| to.region);
    named.unwrap_or_else(|| DEFAULT_REGION.to_owned())
}
