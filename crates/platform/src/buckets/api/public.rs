//! Who else may get in: a bucket's policy, its ownership controls and what shuts out the public.

use wire::{
    Context,
    s3::{
        DeleteBucketOwnershipControlsRequest, DeleteBucketPolicyRequest,
        DeletePublicAccessBlockRequest, GetBucketOwnershipControlsOutput,
        GetBucketOwnershipControlsRequest, GetBucketPolicyOutput, GetBucketPolicyRequest,
        GetBucketPolicyStatusOutput, GetBucketPolicyStatusRequest, GetPublicAccessBlockOutput,
        GetPublicAccessBlockRequest, OwnershipControls, OwnershipControlsRule, PolicyStatus,
        PublicAccessBlockConfiguration, PutBucketOwnershipControlsRequest, PutBucketPolicyRequest,
        PutPublicAccessBlockRequest,
    },
};

use super::{bucket::ownership_named, config::of_bucket};
use crate::{
    buckets::{
        Buckets, access,
        acl::Acl,
        error::{Code, Error, Result},
        tables::{Ownership, PublicAccessBlock},
    },
    identity::policy::PolicyError,
};

impl Buckets {
    pub(super) async fn put_policy(
        &self,
        cx: &Context,
        input: PutBucketPolicyRequest,
    ) -> Result<()> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:PutBucketPolicy", None)?;
        let text = input.policy;
        let policy = access::read_policy(&text).map_err(|error| malformed(&text, &error))?;
        let arn = bucket.arn();
        if !policy.is_about(&arn) {
            return Err(Error::new(
                Code::MalformedPolicy,
                "Policy has invalid resource",
            ));
        }
        let change = self.registry().change(&bucket, |record| {
            let block = record.public_access.is_some_and(|block| block.block_policy);
            if block && policy.is_public() {
                return Err(Error::access_denied());
            }
            record.policy = Some(text);
            Ok(())
        });
        change.await.map(|_| ())
    }

    pub(super) async fn get_policy(
        &self,
        cx: &Context,
        input: GetBucketPolicyRequest,
    ) -> Result<GetBucketPolicyOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:GetBucketPolicy", None)?;
        match &bucket.record.policy {
            Some(policy) => Ok(GetBucketPolicyOutput {
                policy: Some(policy.clone()),
            }),
            None => {
                let message = "The bucket policy does not exist";
                Err(of_bucket(Code::NoSuchBucketPolicy, message, &bucket))
            }
        }
    }

    pub(super) async fn delete_policy(
        &self,
        cx: &Context,
        input: DeleteBucketPolicyRequest,
    ) -> Result<()> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:DeleteBucketPolicy", None)?;
        self.set(&bucket, |record| record.policy = None).await
    }

    pub(super) async fn policy_status(
        &self,
        cx: &Context,
        input: GetBucketPolicyStatusRequest,
    ) -> Result<GetBucketPolicyStatusOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:GetBucketPolicyStatus", None)?;
        if bucket.record.policy.is_none() {
            let message = "The bucket policy does not exist";
            return Err(of_bucket(Code::NoSuchBucketPolicy, message, &bucket));
        }
        Ok(GetBucketPolicyStatusOutput {
            policy_status: Some(PolicyStatus {
                is_public: Some(bucket.is_public_by_policy()),
            }),
        })
    }

    pub(super) async fn put_access_block(
        &self,
        cx: &Context,
        input: PutPublicAccessBlockRequest,
    ) -> Result<()> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:PutBucketPublicAccessBlock", None)?;
        let asked = input.public_access_block_configuration;
        let block = PublicAccessBlock {
            block_acls: asked.block_public_acls == Some(true),
            ignore_acls: asked.ignore_public_acls == Some(true),
            block_policy: asked.block_public_policy == Some(true),
            restrict_buckets: asked.restrict_public_buckets == Some(true),
        };
        self.set(&bucket, move |record| record.public_access = Some(block))
            .await
    }

    pub(super) async fn get_access_block(
        &self,
        cx: &Context,
        input: GetPublicAccessBlockRequest,
    ) -> Result<GetPublicAccessBlockOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:GetBucketPublicAccessBlock", None)?;
        let Some(block) = bucket.record.public_access else {
            let message = "The public access block configuration was not found";
            let code = Code::NoSuchPublicAccessBlockConfiguration;
            return Err(of_bucket(code, message, &bucket));
        };
        Ok(GetPublicAccessBlockOutput {
            public_access_block_configuration: Some(PublicAccessBlockConfiguration {
                block_public_acls: Some(block.block_acls),
                ignore_public_acls: Some(block.ignore_acls),
                block_public_policy: Some(block.block_policy),
                restrict_public_buckets: Some(block.restrict_buckets),
            }),
        })
    }

    pub(super) async fn delete_access_block(
        &self,
        cx: &Context,
        input: DeletePublicAccessBlockRequest,
    ) -> Result<()> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:PutBucketPublicAccessBlock", None)?;
        self.set(&bucket, |record| record.public_access = None)
            .await
    }

    pub(super) async fn put_ownership(
        &self,
        cx: &Context,
        input: PutBucketOwnershipControlsRequest,
    ) -> Result<()> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:PutBucketOwnershipControls", None)?;
        let rules = input.ownership_controls.rules;
        let [rule] = rules.as_slice() else {
            return Err(Error::malformed_xml());
        };
        let ownership = ownership_named(&rule.object_ownership);
        let ownership = ownership.ok_or_else(Error::malformed_xml)?;
        let change = self.registry().change(&bucket, |record| {
            let is_enforced = ownership == Ownership::BucketOwnerEnforced;
            if is_enforced && record.acl != Acl::private(&record.account_id) {
                let message = "Bucket cannot have ACLs set with ObjectOwnership's \
                               BucketOwnerEnforced setting";
                return Err(Error::new(
                    Code::InvalidBucketAclWithObjectOwnership,
                    message,
                ));
            }
            record.ownership = Some(ownership);
            Ok(())
        });
        change.await.map(|_| ())
    }

    pub(super) async fn get_ownership(
        &self,
        cx: &Context,
        input: GetBucketOwnershipControlsRequest,
    ) -> Result<GetBucketOwnershipControlsOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:GetBucketOwnershipControls", None)?;
        let Some(ownership) = bucket.record.ownership else {
            let message = "The bucket ownership controls were not found";
            return Err(of_bucket(Code::OwnershipControlsNotFound, message, &bucket));
        };
        let rule = OwnershipControlsRule {
            object_ownership: match ownership {
                Ownership::BucketOwnerEnforced => "BucketOwnerEnforced",
                Ownership::BucketOwnerPreferred => "BucketOwnerPreferred",
                Ownership::ObjectWriter => "ObjectWriter",
            }
            .to_owned(),
        };
        Ok(GetBucketOwnershipControlsOutput {
            ownership_controls: Some(OwnershipControls { rules: vec![rule] }),
        })
    }

    pub(super) async fn delete_ownership(
        &self,
        cx: &Context,
        input: DeleteBucketOwnershipControlsRequest,
    ) -> Result<()> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:PutBucketOwnershipControls", None)?;
        self.set(&bucket, |record| record.ownership = None).await
    }
}

/// S3's words for what is no policy.
fn malformed(text: &str, error: &PolicyError) -> Error {
    let message = match error {
        _ if !text.starts_with('{') => {
            "Policies must be valid JSON and the first byte must be '{'".to_owned()
        }
        PolicyError::Json(_) => "This policy contains invalid Json".to_owned(),
        PolicyError::TooLong { .. } => "Policy exceeds the maximum allowed document size.".into(),
        PolicyError::Element { at, what } if what == "is missing" => {
            let element = at.rsplit(", ").next().unwrap_or(at);
            format!("Missing required field {element}")
        }
        other => other.to_string(),
    };
    Error::new(Code::MalformedPolicy, message)
}
