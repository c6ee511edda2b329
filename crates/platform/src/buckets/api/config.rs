//! Buckets' simpler configurations: versioning, tags, encryption, CORS, and those of which only what
//! has no effect can be set.

use wire::{
    Context,
    s3::{
        CORSRule, DeleteBucketCorsRequest, DeleteBucketEncryptionRequest,
        DeleteBucketReplicationRequest, DeleteBucketTaggingRequest, DeleteBucketWebsiteRequest,
        GetBucketAccelerateConfigurationOutput, GetBucketAccelerateConfigurationRequest,
        GetBucketCorsOutput, GetBucketCorsRequest, GetBucketEncryptionOutput,
        GetBucketEncryptionRequest, GetBucketLoggingOutput, GetBucketLoggingRequest,
        GetBucketReplicationOutput, GetBucketReplicationRequest, GetBucketRequestPaymentOutput,
        GetBucketRequestPaymentRequest, GetBucketTaggingOutput, GetBucketTaggingRequest,
        GetBucketVersioningOutput, GetBucketVersioningRequest, GetBucketWebsiteOutput,
        GetBucketWebsiteRequest, PutBucketAccelerateConfigurationRequest, PutBucketCorsRequest,
        PutBucketEncryptionRequest, PutBucketLoggingRequest, PutBucketRequestPaymentRequest,
        PutBucketTaggingRequest, PutBucketVersioningRequest, ServerSideEncryptionByDefault,
        ServerSideEncryptionConfiguration, ServerSideEncryptionRule, Tag,
    },
};

use crate::buckets::{
    Buckets,
    error::{Code, Error, Result},
    limits,
    registry::Bucket,
    tables::{CorsRule, Encryption, Versioning},
    tags::{self, Tags},
};

impl Buckets {
    pub(super) async fn put_versioning(
        &self,
        cx: &Context,
        input: PutBucketVersioningRequest,
    ) -> Result<()> {
        let owner = input.expected_bucket_owner.as_deref();
        let bucket = self.bucket(&input.bucket, owner)?;
        self.allowed(cx, &bucket, "s3:PutBucketVersioning", None)?;
        let asked = input.versioning_configuration;
        if input.mfa.is_some() || asked.mfa_delete.as_deref() == Some("Enabled") {
            return Err(Error::not_built("MFA delete"));
        }
        let versioning = match asked.status.as_deref() {
            Some("Enabled") => Versioning::Enabled,
            Some("Suspended") => Versioning::Suspended,
            _ => {
                let message = "The Versioning element must be specified";
                return Err(Error::new(Code::IllegalVersioningConfiguration, message));
            }
        };
        let change = self.registry().change(&bucket, |record| {
            if record.object_lock.is_some() && versioning == Versioning::Suspended {
                let message = "An Object Lock configuration is present on this bucket, so the \
                               versioning state cannot be changed.";
                return Err(Error::new(Code::InvalidBucketState, message));
            }
            record.versioning = versioning;
            Ok(())
        });
        change.await.map(|_| ())
    }

    pub(super) async fn get_versioning(
        &self,
        cx: &Context,
        input: GetBucketVersioningRequest,
    ) -> Result<GetBucketVersioningOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:GetBucketVersioning", None)?;
        let status = match bucket.record.versioning {
            Versioning::Unset => None,
            Versioning::Enabled => Some("Enabled".to_owned()),
            Versioning::Suspended => Some("Suspended".to_owned()),
        };
        Ok(GetBucketVersioningOutput {
            status,
            mfa_delete: None,
        })
    }

    pub(super) async fn put_tags_of_bucket(
        &self,
        cx: &Context,
        input: PutBucketTaggingRequest,
    ) -> Result<()> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:PutBucketTagging", None)?;
        let tags = as_tags(input.tagging.tag_set);
        tags::check(&tags, limits::BUCKET_TAGS_MAX, "Bucket")?;
        self.set(&bucket, move |record| record.tags = tags).await
    }

    pub(super) async fn get_tags_of_bucket(
        &self,
        cx: &Context,
        input: GetBucketTaggingRequest,
    ) -> Result<GetBucketTaggingOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:GetBucketTagging", None)?;
        if bucket.record.tags.is_empty() {
            let message = "The TagSet does not exist";
            return Err(of_bucket(Code::NoSuchTagSet, message, &bucket));
        }
        let tag_set = shapes(&bucket.record.tags);
        Ok(GetBucketTaggingOutput { tag_set })
    }

    pub(super) async fn delete_tags_of_bucket(
        &self,
        cx: &Context,
        input: DeleteBucketTaggingRequest,
    ) -> Result<()> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:PutBucketTagging", None)?;
        self.set(&bucket, |record| record.tags.clear()).await
    }

    pub(super) async fn put_encryption(
        &self,
        cx: &Context,
        input: PutBucketEncryptionRequest,
    ) -> Result<()> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:PutEncryptionConfiguration", None)?;
        let rules = input.server_side_encryption_configuration.rules;
        let [rule] = rules.as_slice() else {
            return Err(Error::malformed_xml());
        };
        let default = rule.apply_server_side_encryption_by_default.as_ref();
        match default.map(|default| default.sse_algorithm.as_str()) {
            None | Some("AES256") => {}
            Some("aws:kms" | "aws:kms:dsse") => {
                return Err(Error::not_built("Encryption with keys of KMS"));
            }
            Some(_) => return Err(Error::malformed_xml()),
        }
        if default.is_some_and(|default| default.kms_master_key_id.is_some()) {
            let message = "a KMSMasterKeyID is not applicable if the default sse algorithm is not \
                           aws:kms or aws:kms:dsse";
            return Err(Error::new(Code::InvalidArgument, message)
                .with("ArgumentName", "ApplyServerSideEncryptionByDefault"));
        }
        let blocked = rule.blocked_encryption_types.as_ref();
        let blocked = blocked.and_then(|blocked| blocked.encryption_type.as_ref());
        let encryption = Encryption {
            bucket_key_enabled: rule.bucket_key_enabled == Some(true),
            blocks_customer_keys: blocked.is_some_and(|all| all.iter().any(|t| t == "SSE-C")),
        };
        self.set(&bucket, move |record| record.encryption = encryption)
            .await
    }

    pub(super) async fn get_encryption(
        &self,
        cx: &Context,
        input: GetBucketEncryptionRequest,
    ) -> Result<GetBucketEncryptionOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:GetEncryptionConfiguration", None)?;
        let encryption = bucket.record.encryption;
        let blocked = wire::s3::BlockedEncryptionTypes {
            encryption_type: Some(vec!["SSE-C".to_owned()]),
        };
        let rule = ServerSideEncryptionRule {
            apply_server_side_encryption_by_default: Some(ServerSideEncryptionByDefault {
                sse_algorithm: "AES256".to_owned(),
                kms_master_key_id: None,
            }),
            bucket_key_enabled: Some(encryption.bucket_key_enabled),
            blocked_encryption_types: encryption.blocks_customer_keys.then_some(blocked),
        };
        Ok(GetBucketEncryptionOutput {
            server_side_encryption_configuration: Some(ServerSideEncryptionConfiguration {
                rules: vec![rule],
            }),
        })
    }

    pub(super) async fn delete_encryption(
        &self,
        cx: &Context,
        input: DeleteBucketEncryptionRequest,
    ) -> Result<()> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:PutEncryptionConfiguration", None)?;
        self.set(&bucket, |record| record.encryption = Encryption::default())
            .await
    }

    pub(super) async fn put_cors(&self, cx: &Context, input: PutBucketCorsRequest) -> Result<()> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:PutBucketCORS", None)?;
        let rules = input.cors_configuration.cors_rules.into_iter();
        let rules: Vec<CorsRule> = rules.map(cors_rule).collect::<Result<_>>()?;
        if rules.is_empty() || rules.len() > 100 {
            return Err(Error::malformed_xml());
        }
        self.set(&bucket, move |record| record.cors = Some(rules))
            .await
    }

    pub(super) async fn get_cors(
        &self,
        cx: &Context,
        input: GetBucketCorsRequest,
    ) -> Result<GetBucketCorsOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:GetBucketCORS", None)?;
        let Some(rules) = bucket.record.cors.clone() else {
            let message = "The CORS configuration does not exist";
            return Err(of_bucket(Code::NoSuchCorsConfiguration, message, &bucket));
        };
        Ok(GetBucketCorsOutput {
            cors_rules: Some(rules.into_iter().map(cors_shape).collect()),
        })
    }

    pub(super) async fn delete_cors(
        &self,
        cx: &Context,
        input: DeleteBucketCorsRequest,
    ) -> Result<()> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:PutBucketCORS", None)?;
        self.set(&bucket, |record| record.cors = None).await
    }

    pub(super) async fn put_payment(
        &self,
        cx: &Context,
        input: PutBucketRequestPaymentRequest,
    ) -> Result<()> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:PutBucketRequestPayment", None)?;
        match input.request_payment_configuration.payer.as_str() {
            "BucketOwner" => Ok(()),
            "Requester" => Err(Error::not_built("Requester Pays")),
            _ => Err(Error::malformed_xml()),
        }
    }

    pub(super) async fn get_payment(
        &self,
        cx: &Context,
        input: GetBucketRequestPaymentRequest,
    ) -> Result<GetBucketRequestPaymentOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:GetBucketRequestPayment", None)?;
        Ok(GetBucketRequestPaymentOutput {
            payer: Some("BucketOwner".to_owned()),
        })
    }

    pub(super) async fn put_accelerate(
        &self,
        cx: &Context,
        input: PutBucketAccelerateConfigurationRequest,
    ) -> Result<()> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:PutAccelerateConfiguration", None)?;
        match input.accelerate_configuration.status.as_deref() {
            Some("Suspended") => Ok(()),
            Some("Enabled") => Err(Error::not_built("Transfer acceleration")),
            _ => Err(Error::malformed_xml()),
        }
    }

    pub(super) async fn get_accelerate(
        &self,
        cx: &Context,
        input: GetBucketAccelerateConfigurationRequest,
    ) -> Result<GetBucketAccelerateConfigurationOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:GetAccelerateConfiguration", None)?;
        Ok(GetBucketAccelerateConfigurationOutput::default())
    }

    pub(super) async fn put_logging(
        &self,
        cx: &Context,
        input: PutBucketLoggingRequest,
    ) -> Result<()> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:PutBucketLogging", None)?;
        let Some(asked) = input.bucket_logging_status.logging_enabled else {
            return Ok(());
        };
        let Some(target) = self.registry().find(&asked.target_bucket) else {
            let message = "The target bucket for logging does not exist";
            let error = Error::new(Code::InvalidTargetBucketForLogging, message);
            return Err(error.with("TargetBucket", asked.target_bucket));
        };
        if target.record.region != bucket.record.region {
            let message = "Cross S3 location logging not allowed. ";
            let error = Error::new(Code::CrossLocationLoggingProhibited, message);
            return Err(error.with("TargetBucketLocation", &target.record.region));
        }
        Err(Error::not_built("Logging of a bucket's requests"))
    }

    pub(super) async fn get_logging(
        &self,
        cx: &Context,
        input: GetBucketLoggingRequest,
    ) -> Result<GetBucketLoggingOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:GetBucketLogging", None)?;
        Ok(GetBucketLoggingOutput::default())
    }

    pub(super) async fn get_website(
        &self,
        cx: &Context,
        input: GetBucketWebsiteRequest,
    ) -> Result<GetBucketWebsiteOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:GetBucketWebsite", None)?;
        let message = "The specified bucket does not have a website configuration";
        Err(of_bucket(
            Code::NoSuchWebsiteConfiguration,
            message,
            &bucket,
        ))
    }

    pub(super) async fn delete_website(
        &self,
        cx: &Context,
        input: DeleteBucketWebsiteRequest,
    ) -> Result<()> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:DeleteBucketWebsite", None)
    }

    pub(super) async fn get_replication(
        &self,
        cx: &Context,
        input: GetBucketReplicationRequest,
    ) -> Result<GetBucketReplicationOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:GetReplicationConfiguration", None)?;
        let message = "The replication configuration was not found";
        let code = Code::ReplicationConfigurationNotFound;
        Err(of_bucket(code, message, &bucket))
    }

    pub(super) async fn delete_replication(
        &self,
        cx: &Context,
        input: DeleteBucketReplicationRequest,
    ) -> Result<()> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.allowed(cx, &bucket, "s3:PutReplicationConfiguration", None)
    }

    /// Changes a bucket's record.
    pub(super) async fn set(
        &self,
        bucket: &Bucket,
        set: impl FnOnce(&mut crate::buckets::tables::BucketRecord),
    ) -> Result<()> {
        let change = self.registry().change(bucket, |record| {
            set(record);
            Ok(())
        });
        change.await.map(|_| ())
    }
}

/// What a bucket has not got.
pub fn of_bucket(code: Code, message: &str, bucket: &Bucket) -> Error {
    Error::new(code, message).with("BucketName", &bucket.name)
}

pub fn as_tags(tags: Vec<Tag>) -> Tags {
    tags.into_iter().map(|tag| (tag.key, tag.value)).collect()
}

pub fn shapes(tags: &[(String, String)]) -> Vec<Tag> {
    let shape = |(key, value): &(String, String)| Tag {
        key: key.clone(),
        value: value.clone(),
    };
    tags.iter().map(shape).collect()
}

const METHODS: [&str; 5] = ["GET", "PUT", "POST", "DELETE", "HEAD"];

fn cors_rule(shape: CORSRule) -> Result<CorsRule> {
    if shape.allowed_methods.is_empty() || shape.allowed_origins.is_empty() {
        return Err(Error::malformed_xml());
    }
    let mut methods = shape.allowed_methods.iter();
    if let Some(other) = methods.find(|method| !METHODS.contains(&method.as_str())) {
        return Err(Error::request(format!(
            "Found unsupported HTTP method in CORS config. Unsupported method is {other}"
        )));
    }
    let mut origins = shape.allowed_origins.iter();
    if let Some(origin) = origins.find(|origin| origin.matches('*').count() > 1) {
        return Err(Error::request(format!(
            "AllowedOrigin \"{origin}\" can not have more than one wildcard."
        )));
    }
    let mut headers = shape.allowed_headers.iter().flatten();
    if let Some(header) = headers.find(|header| header.matches('*').count() > 1) {
        return Err(Error::request(format!(
            "AllowedHeader \"{header}\" can not have more than one wildcard."
        )));
    }
    let mut exposed = shape.expose_headers.iter().flatten();
    if let Some(header) = exposed.find(|header| header.contains('*')) {
        return Err(Error::request(format!(
            "ExposeHeader \"{header}\" contains wildcard. We currently do not support wildcard for \
             ExposeHeader."
        )));
    }
    Ok(CorsRule {
        id: shape.id,
        allowed_headers: shape.allowed_headers,
        allowed_methods: shape.allowed_methods,
        allowed_origins: shape.allowed_origins,
        expose_headers: shape.expose_headers,
        max_age_s: shape.max_age_seconds,
    })
}

pub fn cors_shape(rule: CorsRule) -> CORSRule {
    CORSRule {
        id: rule.id,
        allowed_headers: rule.allowed_headers,
        allowed_methods: rule.allowed_methods,
        allowed_origins: rule.allowed_origins,
        expose_headers: rule.expose_headers,
        max_age_seconds: rule.max_age_s,
    }
}
