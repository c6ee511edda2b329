//! What several operations are given, read and checked: keys of customers, metadata, ACLs, locks.

use base64::{Engine, prelude::BASE64_STANDARD};
use indexmap::IndexMap;
use jiff::Timestamp;
use md5::{Digest, Md5};
use wire::Context;

use crate::buckets::{
    access,
    acl::{self, Acl, Grant, Grantee, Group, Permission},
    content::cipher::CustomerKey,
    error::{Code, Error, Result},
    limits,
    lock::{Mode, Retention},
    registry::Bucket,
    tables::{Headers, STANDARD},
};

/// `aws-chunked` is how a body was sent, nothing of the object's.
pub fn content_encoding(header: Option<&str>) -> Option<String> {
    let all = header?.split(',').map(str::trim);
    let kept: Vec<&str> = all.filter(|one| *one != "aws-chunked").collect();
    (!kept.is_empty()).then(|| kept.join(","))
}

const SSE: &str = "x-amz-server-side-encryption";

pub fn customer_key(
    algorithm: Option<&str>,
    key: Option<&str>,
    md5: Option<&str>,
) -> Result<Option<CustomerKey>> {
    if algorithm.is_none() && key.is_none() && md5.is_none() {
        return Ok(None);
    }
    let bad = |what: &str| Error::argument(what, SSE, "null");
    let missing = |what: &str| {
        bad(&format!(
            "Requests specifying Server Side Encryption with Customer provided keys must provide \
             {what}."
        ))
    };
    let algorithm = algorithm.ok_or_else(|| missing("a valid encryption algorithm"))?;
    let key = key.ok_or_else(|| missing("an appropriate secret key"))?;
    let given_md5 = md5.ok_or_else(|| missing("the client calculated MD5 of the secret key"))?;
    if algorithm != "AES256" {
        let message = "The Encryption request you specified is not valid. Supported value: AES256.";
        return Err(Error::new(Code::InvalidEncryptionAlgorithm, message)
            .with("ArgumentName", SSE)
            .with("ArgumentValue", algorithm));
    }
    let bytes = BASE64_STANDARD.decode(key).unwrap_or_default();
    let md5 = BASE64_STANDARD.encode(Md5::digest(&bytes));
    let key = <[u8; 32]>::try_from(bytes)
        .map_err(|_| bad("The secret key was invalid for the specified algorithm."))?;
    match md5 == given_md5 {
        true => Ok(Some(CustomerKey { key, md5 })),
        false => Err(bad(
            "The calculated MD5 hash of the key did not match the hash that was provided.",
        )),
    }
}

pub fn encryption(
    asked: Option<&str>,
    kms_key: Option<&str>,
    customer: Option<CustomerKey>,
) -> Result<Option<CustomerKey>> {
    let bad = |what: &str| Error::argument(what, SSE, asked.unwrap_or("null"));
    match asked {
        None | Some("AES256") if kms_key.is_some() => Err(bad(
            "Server Side Encryption with AWS KMS managed key requires HTTP header \
             x-amz-server-side-encryption : aws:kms",
        )),
        Some(_) if customer.is_some() => Err(bad(
            "Server Side Encryption with Customer provided key is incompatible with the encryption \
             method specified",
        )),
        None | Some("AES256") => Ok(customer),
        Some("aws:kms" | "aws:kms:dsse") => Err(Error::not_built("Encryption with keys of KMS")),
        Some(_) => Err(bad("The encryption method specified is not supported")),
    }
}

const STORAGE_CLASSES: [&str; 8] = [
    STANDARD,
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER",
    "DEEP_ARCHIVE",
    "GLACIER_IR",
];

pub fn storage_class(asked: Option<&str>) -> Result<String> {
    let asked = asked.unwrap_or(STANDARD);
    if STORAGE_CLASSES.contains(&asked) {
        return Ok(asked.to_owned());
    }
    let message = "The storage class you specified is not valid";
    Err(Error::new(Code::InvalidStorageClass, message).with("StorageClassRequested", asked))
}

/// Metadata with names in small letters, as HTTP has them.
pub fn metadata(given: Option<wire::Map<String>>) -> Result<IndexMap<String, String>> {
    let given = given.unwrap_or_default().into_iter();
    let metadata: IndexMap<String, String> = given
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect();
    let size: usize = metadata.iter().map(|(n, v)| n.len() + v.len()).sum();
    if size > limits::METADATA_BYTES_MAX {
        let message = "Your metadata headers exceed the maximum allowed metadata size";
        return Err(Error::new(Code::MetadataTooLarge, message)
            .with("Size", size.to_string())
            .with("MaxSizeAllowed", limits::METADATA_BYTES_MAX.to_string()));
    }
    Ok(metadata)
}

pub fn check_redirect(headers: &Headers) -> Result<()> {
    let begins = |to: &str| {
        ["/", "http://", "https://"]
            .iter()
            .any(|p| to.starts_with(p))
    };
    match headers.website_redirect.as_deref() {
        Some(to) if !begins(to) => Err(Error::new(
            Code::InvalidArgument,
            "The website redirect location must have a prefix of 'http://' or 'https://' or '/'.",
        )),
        _ => Ok(()),
    }
}

/// What a lock on a new version is asked to be, and what the bucket gives by itself.
pub fn lock(
    bucket: &Bucket,
    mode: Option<&str>,
    until: Option<Timestamp>,
    legal_hold: Option<&str>,
    now: Timestamp,
) -> Result<(Option<Retention>, Option<bool>)> {
    let retention = match (mode, until) {
        (None, None) => None,
        (Some(name), Some(until)) => {
            let mode = Mode::named(name).ok_or_else(|| {
                Error::argument(
                    "Unknown wormMode directive.",
                    "x-amz-object-lock-mode",
                    name,
                )
            })?;
            if until <= now {
                return Err(Error::argument(
                    "The retain until date must be in the future!",
                    "x-amz-object-lock-retain-until-date",
                    wire::time::print(wire::schema::TimestampFormat::Iso8601, until),
                ));
            }
            Some(Retention { mode, until })
        }
        (mode, _) => {
            let message = "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must \
                           both be supplied";
            let name = match mode {
                Some(_) => "x-amz-object-lock-retain-until-date",
                None => "x-amz-object-lock-mode",
            };
            return Err(Error::new(Code::InvalidArgument, message).with("ArgumentName", name));
        }
    };
    let legal_hold = legal_hold
        .map(|given| hold(given, "x-amz-object-lock-legal-hold"))
        .transpose()?;
    let Some(lock) = &bucket.record.object_lock else {
        return match retention.is_some() || legal_hold.is_some() {
            true => Err(no_lock()),
            false => Ok((None, None)),
        };
    };
    let default = lock.default.map(|default| default.from(now));
    Ok((retention.or(default), legal_hold))
}

pub fn hold(given: &str, name: &str) -> Result<bool> {
    match given {
        "ON" => Ok(true),
        "OFF" => Ok(false),
        other => {
            let message = "Legal Hold must be either of 'ON' or 'OFF'";
            Err(Error::argument(message, name, other))
        }
    }
}

pub fn no_lock() -> Error {
    Error::request("Bucket is missing Object Lock Configuration")
}

pub type HeaderGrant<'a> = (&'static str, Permission, Option<&'a str>);

/// The ACL of a request, if it has one, and if it may be set in this bucket. `owner` is the account
/// that owns what it is of.
pub fn acl(
    bucket: &Bucket,
    canned: Option<&str>,
    grants: &[HeaderGrant<'_>],
    owner: &str,
) -> Result<Option<Acl>> {
    let has_grants = grants.iter().any(|(_, _, given)| given.is_some());
    let acl = match canned {
        None if !has_grants => return Ok(None),
        None => Acl {
            owner: owner.to_owned(),
            grants: header_grants(grants)?,
        },
        Some(_) if has_grants => {
            return Err(Error::request(
                "Specifying both Canned ACLs and Header Grants is not allowed",
            ));
        }
        Some(name) => canned_acl(name, owner, &bucket.record.account_id)?,
    };
    check_acl(bucket, &acl, canned)?;
    Ok(Some(acl))
}

pub fn canned_acl(name: &str, owner: &str, bucket_owner: &str) -> Result<Acl> {
    Acl::canned(name, owner, bucket_owner).ok_or_else(|| Error::argument("", "x-amz-acl", name))
}

/// Whether a bucket takes this ACL.
pub fn check_acl(bucket: &Bucket, acl: &Acl, canned: Option<&str>) -> Result<()> {
    let record = &bucket.record;
    if !record.has_acls() {
        // Neither says anything that is not so anyway.
        let is_harmless = canned == Some("bucket-owner-full-control")
            || *acl == Acl::private(&record.account_id) && canned != Some("private");
        let message = "The bucket does not allow ACLs";
        return match is_harmless {
            true => Ok(()),
            false => Err(Error::new(Code::AccessControlListNotSupported, message)),
        };
    }
    match record.public_access.is_some_and(|block| block.block_acls) && acl.is_public() {
        true => Err(Error::access_denied()),
        false => Ok(()),
    }
}

pub fn header_grants(grants: &[HeaderGrant<'_>]) -> Result<Vec<Grant>> {
    let mut all = Vec::new();
    for (header, permission, given) in grants {
        let list = given.unwrap_or_default().split(',').map(str::trim);
        for one in list.filter(|one| !one.is_empty()) {
            all.push(Grant {
                to: header_grantee(header, one)?,
                permission: *permission,
            });
        }
    }
    Ok(all)
}

fn header_grantee(header: &'static str, text: &str) -> Result<Grantee> {
    let unrecognized = || Error::argument("Argument format not recognized", header, text);
    let (kind, value) = text.split_once('=').ok_or_else(unrecognized)?;
    let value = value.trim().trim_matches('"');
    match kind.trim().to_ascii_lowercase().as_str() {
        "id" if acl::is_canonical_id(value) => Ok(Grantee::User(value.to_owned())),
        "id" => Err(Error::argument("Invalid id", "id", value)),
        "uri" => Group::of_uri(value)
            .map(Grantee::Group)
            .ok_or_else(|| Error::argument("Invalid group uri", "uri", value)),
        "emailaddress" => Err(Error::not_built("Granting to an e-mail address")),
        _ => Err(unrecognized()),
    }
}

/// Whether the caller is right about whose bucket it is.
pub fn check_owner(bucket: &Bucket, expected: Option<&str>) -> Result<()> {
    let Some(expected) = expected else {
        return Ok(());
    };
    if expected.len() != 12 || !expected.bytes().all(|byte| byte.is_ascii_digit()) {
        let message = format!(
            "The value of the expected bucket owner parameter must be an AWS Account ID... \
             [{expected}]"
        );
        return Err(Error::new(Code::InvalidBucketOwnerAwsAccountId, message));
    }
    match expected == bucket.record.account_id {
        true => Ok(()),
        false => Err(Error::access_denied()),
    }
}

/// The account that owns what this caller puts.
pub fn object_owner(cx: &Context, bucket: &Bucket) -> String {
    match access::account(cx) {
        Some(account) if bucket.record.has_acls() => account.to_owned(),
        _ => bucket.record.account_id.clone(),
    }
}
