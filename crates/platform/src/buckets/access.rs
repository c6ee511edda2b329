//! Who may do what to a bucket and what is in it: the one place that every operation asks.
//!
//! The bucket's own account may do everything that its policy does not deny. Others may do what the
//! policy or, where ownership allows them, ACLs give; what is public can be closed by the public
//! access block whatever those say.

use wire::Context;

use super::{
    acl::{Acl, Permission},
    error::{Error, Result},
    registry::Bucket,
    tables::PublicAccessBlock,
};
use crate::identity::{
    Principal,
    policy::{Bounds, Kind, Policy, Request, Verdict},
};

/// What a request is about.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked<'a> {
    /// With its service, e.g. `s3:GetObject`.
    pub action: &'a str,
    pub key: Option<&'a str>,
    /// What an ACL would have to give for it, and whose: that of the object or of the bucket.
    pub by_acl: Option<(Permission, Option<&'a Acl>)>,
    /// Condition keys of S3's.
    pub keys: &'a [(&'a str, &'a str)],
}

/// What only a bucket's own account does, whatever its policy says of others.
const OWNERS: [&str; 4] = [
    "s3:DeleteBucketPolicy",
    "s3:GetBucketPolicy",
    "s3:GetBucketPolicyStatus",
    "s3:PutBucketPolicy",
];

pub fn principal(cx: &Context) -> Principal {
    match is_anonymous(cx) {
        true => Principal::Anonymous,
        false => Principal::of(&cx.account_id, cx.role.as_deref()),
    }
}

/// Whether nobody signed the request.
pub fn is_anonymous(cx: &Context) -> bool {
    cx.access_key_id.is_empty() && cx.role.is_none()
}

/// The account that asks; none if nobody does.
pub fn account(cx: &Context) -> Option<&str> {
    (!is_anonymous(cx)).then_some(cx.account_id.as_str())
}

pub fn check(cx: &Context, bucket: &Bucket, asked: Asked<'_>) -> Result<()> {
    let record = &bucket.record;
    let principal = principal(cx);
    let is_own = principal.account_id() == Some(&record.account_id);
    if is_own && bucket.policy.is_none() {
        return Ok(());
    }
    let arn = match asked.key {
        Some(key) => format!("{}/{key}", bucket.arn()),
        None => bucket.arn(),
    };
    let request = Request {
        source_ip: cx.origin.ip,
        is_secure: cx.origin.is_secure,
        user_agent: cx.origin.user_agent.as_deref(),
        referer: cx.origin.referer.as_deref(),
        keys: asked.keys,
        ..Request::new(
            &principal,
            asked.action,
            &arn,
            &record.account_id,
            &record.region,
            cx.now,
        )
    };
    let block = record.public_access.unwrap_or(OPEN);
    let verdict = bucket
        .policy
        .as_ref()
        .map_or(Verdict::Silent, |policy| policy.verdict(&request));
    match verdict {
        // The owner can always mend a policy that shuts everybody out.
        Verdict::Denied(_) if is_own && cx.role.is_none() && OWNERS.contains(&asked.action) => {
            return Ok(());
        }
        Verdict::Denied(statement) => {
            tracing::debug!(cx.request_id, arn, "refused: denied by {statement}");
            return Err(Error::access_denied());
        }
        _ if is_own => return Ok(()),
        Verdict::Allowed(_) if OWNERS.contains(&asked.action) => {}
        Verdict::Allowed(_) if block.restrict_buckets && bucket.is_public_by_policy() => {}
        Verdict::Allowed(_) => return Ok(()),
        Verdict::Silent => {}
    }
    if let Some((permission, acl)) = asked.by_acl.filter(|_| record.has_acls()) {
        let acl = acl.unwrap_or(&record.acl);
        if acl.allows(account(cx), permission, !block.ignore_acls) {
            return Ok(());
        }
        // Whoever owns the object may do with it what its ACL gives; the ACL itself is his.
        let is_owner = account(cx) == Some(acl.owner.as_str());
        if is_owner && [Permission::ReadAcp, Permission::WriteAcp].contains(&permission) {
            return Ok(());
        }
    }
    tracing::debug!(
        cx.request_id,
        arn,
        action = asked.action,
        "refused: not allowed"
    );
    Err(Error::access_denied())
}

const OPEN: PublicAccessBlock = PublicAccessBlock {
    block_acls: false,
    ignore_acls: false,
    block_policy: false,
    restrict_buckets: false,
};

/// How much a bucket's policy may hold, and that it is one of a resource.
pub fn read_policy(text: &str) -> Result<Policy, crate::identity::policy::PolicyError> {
    let bounds = Bounds {
        bytes_max: super::limits::POLICY_BYTES_MAX,
        statements_max: super::limits::POLICY_BYTES_MAX,
    };
    Policy::parse(text, Kind::Resource, bounds)
}
