//! Access control lists of buckets and objects.

use wire::{
    Context,
    s3::{
        AccessControlPolicy, GetBucketAclOutput, GetBucketAclRequest, GetObjectAclOutput,
        GetObjectAclRequest, Grant as GrantShape, Grantee as GranteeShape, PutBucketAclRequest,
        PutObjectAclOutput, PutObjectAclRequest,
    },
};

use super::{
    get::{acl_of, version_id},
    given::{self, HeaderGrant},
    happening,
    members::grants_of,
    owner,
};
use crate::buckets::{
    Buckets,
    access::{self, Asked},
    acl::{self, Acl, Grant, Grantee, Group, Permission},
    error::{Code, Error, Result},
    notify::Event,
    registry::Bucket,
};

impl Buckets {
    pub(super) async fn get_acl(
        &self,
        cx: &Context,
        input: GetObjectAclRequest,
    ) -> Result<GetObjectAclOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        let version_id = version_id(input.version_id.as_deref())?;
        let found = self
            .find_readable(cx, &bucket, &input.key, version_id, "s3:GetObjectAcl")
            .await?;
        let acl = shown(&bucket, acl_of(&found.version));
        Ok(GetObjectAclOutput {
            owner: Some(owner(&acl.owner)),
            grants: Some(acl.grants.iter().map(shape).collect()),
            request_charged: None,
        })
    }

    pub(super) async fn put_acl(
        &self,
        cx: &Context,
        input: PutObjectAclRequest,
    ) -> Result<PutObjectAclOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        let version_id = version_id(input.version_id.as_deref())?;
        let found = self
            .find_readable(cx, &bucket, &input.key, version_id, "s3:PutObjectAcl")
            .await?;
        let mut grants = grants_of!(input).to_vec();
        grants.push(write_grant(input.grant_write.as_deref()));
        let account = found.version.record.owner.clone();
        drop(found);
        let canned = input.acl.as_deref();
        let acl = asked(
            &bucket,
            canned,
            &grants,
            input.access_control_policy,
            &account,
        )?;
        let told = happening(cx, Event::AclPut);
        self.change_version(&bucket, &input.key, version_id, Some(told), move |record| {
            record.acl = Some(acl.clone());
            Ok(())
        })
        .await?;
        Ok(PutObjectAclOutput::default())
    }

    pub(super) async fn get_acl_of_bucket(
        &self,
        cx: &Context,
        input: GetBucketAclRequest,
    ) -> Result<GetBucketAclOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        let asked = Asked {
            action: "s3:GetBucketAcl",
            by_acl: Some((Permission::ReadAcp, None)),
            ..Asked::default()
        };
        access::check(cx, &bucket, asked)?;
        let acl = shown(&bucket, bucket.record.acl.clone());
        Ok(GetBucketAclOutput {
            owner: Some(owner(&acl.owner)),
            grants: Some(acl.grants.iter().map(shape).collect()),
        })
    }

    pub(super) async fn put_acl_of_bucket(
        &self,
        cx: &Context,
        input: PutBucketAclRequest,
    ) -> Result<()> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        let may = Asked {
            action: "s3:PutBucketAcl",
            by_acl: Some((Permission::WriteAcp, None)),
            ..Asked::default()
        };
        access::check(cx, &bucket, may)?;
        let mut grants = grants_of!(input).to_vec();
        grants.push(write_grant(input.grant_write.as_deref()));
        let account = bucket.record.account_id.clone();
        let canned = input.acl.as_deref();
        let acl = asked(
            &bucket,
            canned,
            &grants,
            input.access_control_policy,
            &account,
        )?;
        self.set(&bucket, move |record| record.acl = acl).await
    }
}

fn write_grant(given: Option<&str>) -> HeaderGrant<'_> {
    ("x-amz-grant-write", Permission::Write, given)
}

/// While the bucket's owner owns all, ACLs are as if there were none.
fn shown(bucket: &Bucket, acl: Acl) -> Acl {
    match bucket.record.has_acls() {
        true => acl,
        false => Acl::private(&bucket.record.account_id),
    }
}

/// The ACL of a request, from its headers or its body.
fn asked(
    bucket: &Bucket,
    canned: Option<&str>,
    grants: &[HeaderGrant<'_>],
    body: Option<AccessControlPolicy>,
    account: &str,
) -> Result<Acl> {
    let has_headers = canned.is_some() || grants.iter().any(|(_, _, given)| given.is_some());
    if has_headers && body.is_some() {
        return Err(Error::new(
            Code::UnexpectedContent,
            "This request does not support content",
        ));
    }
    if let Some(acl) = given::acl(bucket, canned, grants, account)? {
        return Ok(acl);
    }
    let Some(body) = body else {
        let message = "Your request was missing a required header";
        return Err(
            Error::new(Code::MissingSecurityHeader, message).with("MissingHeaderName", "x-amz-acl")
        );
    };
    let acl = of_body(body, account)?;
    given::check_acl(bucket, &acl, None)?;
    Ok(acl)
}

fn of_body(body: AccessControlPolicy, account: &str) -> Result<Acl> {
    let malformed = || {
        let message = "The XML you provided was not well-formed or did not validate against our \
                       published schema";
        Error::new(Code::MalformedAcl, message)
    };
    let invalid_id = |id: &str| Error::argument("Invalid id", "CanonicalUser/ID", id);
    let owner = body.owner.and_then(|owner| owner.id);
    let owner = owner.ok_or_else(malformed)?;
    if !acl::is_canonical_id(&owner) {
        return Err(invalid_id(&owner));
    }
    // Who owns something is not changed so.
    if owner != acl::canonical_id(account) {
        return Err(Error::access_denied());
    }
    let mut grants = Vec::new();
    for grant in body.grants.ok_or_else(malformed)? {
        let permission = grant.permission.as_deref().and_then(Permission::named);
        let permission = permission.ok_or_else(malformed)?;
        let to = grant.grantee.ok_or_else(malformed)?;
        let to = match to.type_.as_str() {
            "CanonicalUser" => {
                let id = to.id.ok_or_else(malformed)?;
                if !acl::is_canonical_id(&id) {
                    return Err(invalid_id(&id));
                }
                Grantee::User(id)
            }
            "Group" => {
                let uri = to.uri.ok_or_else(malformed)?;
                let group = Group::of_uri(&uri);
                Grantee::Group(
                    group.ok_or_else(|| Error::argument("Invalid group uri", "Group/URI", uri))?,
                )
            }
            "AmazonCustomerByEmail" => {
                return Err(Error::not_built("Granting to an e-mail address"));
            }
            _ => return Err(malformed()),
        };
        grants.push(Grant { to, permission });
    }
    Ok(Acl {
        owner: account.to_owned(),
        grants,
    })
}

fn shape(grant: &Grant) -> GrantShape {
    let grantee = match &grant.to {
        Grantee::User(id) => GranteeShape {
            id: Some(id.clone()),
            type_: "CanonicalUser".to_owned(),
            ..GranteeShape::default()
        },
        Grantee::Group(group) => GranteeShape {
            uri: Some(group.uri().to_owned()),
            type_: "Group".to_owned(),
            ..GranteeShape::default()
        },
    };
    GrantShape {
        grantee: Some(grantee),
        permission: Some(grant.permission.name().to_owned()),
    }
}
