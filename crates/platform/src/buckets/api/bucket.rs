//! Buckets themselves: making, finding, listing, removing.

use wire::{
    Context,
    s3::{
        Bucket as BucketShape, CreateBucketOutput, CreateBucketRequest, DeleteBucketRequest,
        GetBucketLocationOutput, GetBucketLocationRequest, HeadBucketOutput, HeadBucketRequest,
        ListBucketsOutput, ListBucketsRequest,
    },
};

use super::{given, members::grants_of, owner};
use crate::buckets::{
    Buckets, access,
    acl::{Acl, Permission},
    error::{Code, Error, Result},
    limits, name,
    registry::Bucket,
    tables::{BucketRecord, ObjectLock, Ownership, PublicAccessBlock, Versioning},
    tags,
};

const US_EAST_1: &str = "us-east-1";

impl Buckets {
    pub(super) async fn create(
        &self,
        cx: &Context,
        input: CreateBucketRequest,
    ) -> Result<CreateBucketOutput> {
        let account = access::account(cx).ok_or_else(Error::access_denied)?;
        let name = &input.bucket;
        name::check_bucket(name)?;
        let configuration = input
            .create_bucket_configuration
            .clone()
            .unwrap_or_default();
        if configuration.location.is_some() || configuration.bucket.is_some() {
            return Err(Error::not_built("Directory buckets"));
        }
        if input
            .bucket_namespace
            .as_deref()
            .is_some_and(|n| n != "global")
        {
            return Err(Error::not_built("Buckets in an account's own namespace"));
        }
        let location = configuration.location_constraint.filter(|l| !l.is_empty());
        let region = region_of(&cx.region, location.as_deref())?;
        let record = BucketRecord {
            id: self.next_seq(),
            account_id: account.to_owned(),
            location: location.filter(|location| *location != region),
            region,
            created: cx.now,
            versioning: Versioning::Unset,
            object_lock: None,
            tags: super::config::as_tags(configuration.tags.unwrap_or_default()),
            policy: None,
            public_access: Some(PublicAccessBlock {
                block_acls: true,
                ignore_acls: true,
                block_policy: true,
                restrict_buckets: true,
            }),
            ownership: Some(ownership(input.object_ownership.as_deref())?),
            acl: Acl::private(account),
            encryption: Default::default(),
            cors: None,
            lifecycle: None,
            notification: Default::default(),
        };
        tags::check(&record.tags, limits::BUCKET_TAGS_MAX, "Bucket")?;
        let record = self.with_options(account, record, &input)?;
        self.check_count(account)?;
        let region = record.region.clone();
        let made = self.registry().create(name, record).await?;
        if let Some(existing) = made {
            existing_bucket(&existing, account, &region, name)?;
        }
        let location = match region == US_EAST_1 {
            true => format!("/{name}"),
            false => format!("http://{name}.s3.amazonaws.com/"),
        };
        Ok(CreateBucketOutput {
            location: Some(location),
            bucket_arn: Some(self.registry().require(name)?.arn()),
        })
    }

    /// Object lock and an ACL, which the rest decides about.
    fn with_options(
        &self,
        account: &str,
        mut record: BucketRecord,
        input: &CreateBucketRequest,
    ) -> Result<BucketRecord> {
        if input.object_lock_enabled_for_bucket == Some(true) {
            record.object_lock = Some(ObjectLock { default: None });
            record.versioning = Versioning::Enabled;
        }
        let mut grants = grants_of!(input).to_vec();
        grants.push((
            "x-amz-grant-write",
            Permission::Write,
            input.grant_write.as_deref(),
        ));
        let has_grants = grants.iter().any(|(_, _, given)| given.is_some());
        let canned = input.acl.as_deref();
        if !record.has_acls() && (has_grants || canned.is_some_and(|name| name != "private")) {
            let message = "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced \
                           setting";
            return Err(Error::new(
                Code::InvalidBucketAclWithObjectOwnership,
                message,
            ));
        }
        if canned.is_some_and(|name| name != "private") || has_grants {
            // Nobody but the owner gets in anyway while the public is shut out.
            let bucket = Bucket::fleeting(&input.bucket, record);
            if let Some(acl) = given::acl(&bucket, canned, &grants, account)? {
                record = bucket.record;
                record.acl = acl;
                return Ok(record);
            }
            record = bucket.record;
        }
        Ok(record)
    }

    fn check_count(&self, account: &str) -> Result<()> {
        let all = self.registry().all();
        let count = all
            .iter()
            .filter(|b| b.record.account_id == account)
            .count();
        if count >= limits::BUCKETS_PER_ACCOUNT_MAX {
            let message = "You have attempted to create more buckets than allowed";
            return Err(Error::new(Code::TooManyBuckets, message));
        }
        Ok(())
    }

    pub(super) async fn delete_bucket_now(
        &self,
        cx: &Context,
        input: DeleteBucketRequest,
    ) -> Result<()> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:DeleteBucket", None)?;
        self.registry().delete(&bucket).await?;
        self.garbage_came();
        Ok(())
    }

    pub(super) async fn head_of_bucket(
        &self,
        cx: &Context,
        input: HeadBucketRequest,
    ) -> Result<HeadBucketOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.may_list(cx, &bucket, "s3:ListBucket")?;
        Ok(HeadBucketOutput {
            bucket_arn: Some(bucket.arn()),
            bucket_region: Some(bucket.record.region.clone()),
            access_point_alias: Some(false),
            ..HeadBucketOutput::default()
        })
    }

    pub(super) async fn location(
        &self,
        cx: &Context,
        input: GetBucketLocationRequest,
    ) -> Result<GetBucketLocationOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:GetBucketLocation", None)?;
        let record = &bucket.record;
        let named = record.location.clone().or(Some(record.region.clone()));
        Ok(GetBucketLocationOutput {
            location_constraint: named.filter(|name| name != US_EAST_1),
        })
    }

    pub(super) async fn list_own(
        &self,
        cx: &Context,
        input: ListBucketsRequest,
    ) -> Result<ListBucketsOutput> {
        let account = access::account(cx).ok_or_else(Error::access_denied)?;
        let max = input.max_buckets.unwrap_or(10_000);
        if !(1..=10_000).contains(&max) {
            return Err(Error::argument(
                "Argument max-buckets must be an integer between 1 and 10000",
                "max-buckets",
                max.to_string(),
            ));
        }
        let max = usize::try_from(max).unwrap_or_default();
        let after = match input.continuation_token.as_deref() {
            None => None,
            Some(token) => Some(super::listing::read_token(token)?),
        };
        let prefix = input.prefix.as_deref().unwrap_or_default();
        let all = self.registry().all();
        let mut own: Vec<_> = all
            .iter()
            .filter(|bucket| bucket.record.account_id == account)
            .filter(|bucket| bucket.name.starts_with(prefix))
            .filter(|bucket| after.as_ref().is_none_or(|after| bucket.name > *after))
            .filter(|bucket| {
                let region = input.bucket_region.as_deref();
                region.is_none_or(|region| bucket.record.region == region)
            })
            .collect();
        let is_truncated = own.len() > max;
        own.truncate(max);
        let last = own.last().filter(|_| is_truncated);
        Ok(ListBucketsOutput {
            continuation_token: last.map(|bucket| super::listing::token(&bucket.name)),
            buckets: Some(own.into_iter().map(|bucket| shape(bucket)).collect()),
            owner: Some(owner(account)),
            prefix: input.prefix,
        })
    }
}

fn shape(bucket: &Bucket) -> BucketShape {
    BucketShape {
        name: Some(bucket.name.clone()),
        creation_date: Some(bucket.record.created),
        bucket_region: Some(bucket.record.region.clone()),
        bucket_arn: Some(bucket.arn()),
    }
}

/// Where a bucket is to be: in the region that is asked, which has to be named but for us-east-1.
fn region_of(asked: &str, location: Option<&str>) -> Result<String> {
    let incompatible = |what: &str| {
        let message = format!(
            "The {what} location constraint is incompatible for the region specific endpoint this \
             request was sent to."
        );
        Error::new(Code::IllegalLocationConstraint, message)
    };
    match location {
        None if asked == US_EAST_1 => Ok(asked.to_owned()),
        None => Err(incompatible("unspecified")),
        Some(name) if asked == US_EAST_1 => {
            let region = if name == "EU" { "eu-west-1" } else { name };
            match name != US_EAST_1 && is_region(region) {
                true => Ok(region.to_owned()),
                false => {
                    let message = "The specified location-constraint is not valid";
                    Err(Error::new(Code::InvalidLocationConstraint, message)
                        .with("LocationConstraint", name))
                }
            }
        }
        Some("EU") if asked == "eu-west-1" => Ok(asked.to_owned()),
        Some(name) if name == asked => Ok(asked.to_owned()),
        Some(name) => Err(incompatible(name)),
    }
}

/// Whether a text has the form of a region's name.
fn is_region(name: &str) -> bool {
    let parts: Vec<&str> = name.split('-').collect();
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let letters = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    match parts.split_last() {
        Some((number, names)) => {
            is_number(number) && (2..=3).contains(&names.len()) && names.iter().all(letters)
        }
        None => false,
    }
}

fn ownership(given: Option<&str>) -> Result<Ownership> {
    match given {
        None => Ok(Ownership::BucketOwnerEnforced),
        Some(name) => ownership_named(name).ok_or_else(|| {
            let message = format!("Invalid x-amz-object-ownership header: {name}");
            Error::new(Code::InvalidArgument, message)
                .with("ArgumentName", "x-amz-object-ownership")
        }),
    }
}

pub fn ownership_named(name: &str) -> Option<Ownership> {
    match name {
        "BucketOwnerEnforced" => Some(Ownership::BucketOwnerEnforced),
        "BucketOwnerPreferred" => Some(Ownership::BucketOwnerPreferred),
        "ObjectWriter" => Some(Ownership::ObjectWriter),
        _ => None,
    }
}

/// In us-east-1 its owner makes a bucket again without an error, by an old rule of S3's.
fn existing_bucket(existing: &Bucket, account: &str, region: &str, name: &str) -> Result<()> {
    if existing.record.account_id != account {
        let message = "The requested bucket name is not available. The bucket namespace is shared \
                       by all users of the system. Please select a different name and try again.";
        return Err(Error::new(Code::BucketAlreadyExists, message).with("BucketName", name));
    }
    if region == US_EAST_1 && existing.record.region == US_EAST_1 {
        return Ok(());
    }
    let message = "Your previous request to create the named bucket succeeded and you already own \
                   it.";
    Err(Error::new(Code::BucketAlreadyOwnedByYou, message).with("BucketName", name))
}
