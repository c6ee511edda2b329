//! What is stored of buckets: a row per bucket with its configuration, one per current version of an
//! object, one per older version, and the small contents, multipart uploads, parts and files' counts
//! of references beside them.
//!
//! Keys are bytes, so that both engines sort them as S3 does. What a listing filters by has a column;
//! the rest is a versioned record in JSON.

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use store::Migration;

use super::{
    acl::Acl,
    content::{Algorithm, Checksum, Lies, SealedKey, checksum},
    lifecycle::Lifecycle,
    lock::{DefaultRetention, Retention},
    notify::Notification,
};

/// How many migrations [`migrations`] gives.
pub const MIGRATION_COUNT: u32 = 1;

/// The shape of the records written today.
pub const RECORD_VERSION: u32 = 1;

/// The tables' definitions, numbered from `first`.
pub const fn migrations(first: u32) -> [Migration; MIGRATION_COUNT as usize] {
    [Migration::new(first, "buckets", TABLES)]
}

const TABLES: &str = "
CREATE TABLE buckets (
    name {text} PRIMARY KEY, id {int} NOT NULL, revision {int} NOT NULL, version {int} NOT NULL,
    body {text} NOT NULL
) {clustered};
CREATE TABLE objects (
    bucket {int} NOT NULL, key {blob} NOT NULL, seq {int} NOT NULL, version_id {text} NOT NULL,
    is_marker {int} NOT NULL, modified_ms {int} NOT NULL, size {int} NOT NULL,
    version {int} NOT NULL, body {text} NOT NULL,
    PRIMARY KEY (bucket, key)
) {clustered};
CREATE TABLE object_versions (
    bucket {int} NOT NULL, key {blob} NOT NULL, age {int} NOT NULL, seq {int} NOT NULL,
    version_id {text} NOT NULL, is_marker {int} NOT NULL, modified_ms {int} NOT NULL,
    size {int} NOT NULL, noncurrent_ms {int} NOT NULL, version {int} NOT NULL, body {text} NOT NULL,
    PRIMARY KEY (bucket, key, age)
) {clustered};
CREATE TABLE object_bodies (id {int} PRIMARY KEY, body {blob} NOT NULL) {strict};
CREATE TABLE object_uploads (
    bucket {int} NOT NULL, key {blob} NOT NULL, id {int} NOT NULL, upload_id {text} NOT NULL,
    initiated_ms {int} NOT NULL, is_crossed {int} NOT NULL, version {int} NOT NULL,
    body {text} NOT NULL,
    PRIMARY KEY (bucket, key, id)
) {clustered};
CREATE TABLE object_parts (
    manifest {int} NOT NULL, number {int} NOT NULL, start {int} NOT NULL, size {int} NOT NULL,
    version {int} NOT NULL, body {text} NOT NULL,
    PRIMARY KEY (manifest, number)
) {clustered};
CREATE TABLE object_ended (manifest {int} PRIMARY KEY) {strict};
CREATE TABLE object_files (hash {blob} PRIMARY KEY, refs {int} NOT NULL) {clustered};
CREATE TABLE object_garbage (hash {blob} PRIMARY KEY) {clustered};
CREATE TABLE object_events (
    seq {int} PRIMARY KEY, version {int} NOT NULL, body {text} NOT NULL
) {strict};
CREATE TABLE object_sequence (id {int} PRIMARY KEY, next {int} NOT NULL) {strict};
INSERT INTO object_sequence (id, next) VALUES (1, 1);
";

/// A bucket and its configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BucketRecord {
    pub id: i64,
    pub account_id: String,
    pub region: String,
    /// As it was asked for: `EU` is a name of eu-west-1.
    pub location: Option<String>,
    pub created: Timestamp,
    pub versioning: Versioning,
    pub object_lock: Option<ObjectLock>,
    pub tags: Vec<(String, String)>,
    pub policy: Option<String>,
    pub public_access: PublicAccess,
    pub ownership: Option<Ownership>,
    pub acl: Acl,
    pub encryption: Encryption,
    pub cors: Option<Vec<CorsRule>>,
    pub lifecycle: Option<Lifecycle>,
    pub notification: Notification,
}

/// What objects are encrypted with that ask for nothing: the platform's own key in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// Of no consequence without KMS; given back as it was set.
    pub bucket_key_enabled: bool,
    pub blocks_customer_keys: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorsRule {
    pub id: Option<String>,
    pub allowed_headers: Option<Vec<String>>,
    pub allowed_methods: Vec<String>,
    pub allowed_origins: Vec<String>,
    pub expose_headers: Option<Vec<String>>,
    pub max_age_s: Option<i32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Versioning {
    Unset,
    Enabled,
    Suspended,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectLock {
    pub default: Option<DefaultRetention>,
}

/// What is closed to the public whatever policies and ACLs say. None: nothing was set.
pub type PublicAccess = Option<PublicAccessBlock>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicAccessBlock {
    pub block_acls: bool,
    pub ignore_acls: bool,
    pub block_policy: bool,
    pub restrict_buckets: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ownership {
    BucketOwnerEnforced,
    BucketOwnerPreferred,
    ObjectWriter,
}

/// A version of an object, or a delete marker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObjectRecord {
    /// Without quotes; empty of a delete marker.
    pub etag: String,
    pub lies: Lies,
    /// Of what lies anywhere but in parts, which have keys of their own.
    pub key: Option<SealedKey>,
    pub checksum: Option<Checksum>,
    /// How many parts it was uploaded in.
    pub parts: Option<u32>,
    pub headers: Headers,
    /// `x-amz-meta-`, without that.
    pub metadata: IndexMap<String, String>,
    pub storage_class: String,
    pub tags: Vec<(String, String)>,
    /// The account that put it.
    pub owner: String,
    pub acl: Option<Acl>,
    pub retention: Option<Retention>,
    pub legal_hold: Option<bool>,
    /// The MD5 of the customer's key, in base64, where there is one.
    pub customer_key_md5: Option<String>,
    /// Until when a copy of what is archived can be read.
    pub restored_until: Option<Timestamp>,
}

/// What is given back as it was put.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headers {
    pub content_type: Option<String>,
    pub cache_control: Option<String>,
    pub content_disposition: Option<String>,
    pub content_encoding: Option<String>,
    pub content_language: Option<String>,
    pub expires: Option<String>,
    pub website_redirect: Option<String>,
}

/// A multipart upload that is under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UploadRecord {
    pub initiator: String,
    pub headers: Headers,
    pub metadata: IndexMap<String, String>,
    pub storage_class: String,
    pub tags: Vec<(String, String)>,
    pub acl: Option<Acl>,
    pub retention: Option<Retention>,
    pub legal_hold: Option<bool>,
    /// None: the default, of which nothing is said to clients.
    pub checksum: Option<UploadChecksum>,
    pub customer_key_md5: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadChecksum {
    #[serde(
        serialize_with = "checksum::name",
        deserialize_with = "checksum::named"
    )]
    pub algorithm: Algorithm,
    pub is_composite: bool,
}

/// A part of an upload, or of an object that was uploaded in parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartRecord {
    pub etag: String,
    pub modified: Timestamp,
    pub lies: Lies,
    pub key: SealedKey,
    pub checksum: Option<Checksum>,
}

impl BucketRecord {
    /// Without controls whoever puts an object owns it.
    pub fn ownership(&self) -> Ownership {
        self.ownership.unwrap_or(Ownership::ObjectWriter)
    }

    /// Whether ACLs have any meaning.
    pub fn has_acls(&self) -> bool {
        self.ownership() != Ownership::BucketOwnerEnforced
    }
}

impl ObjectRecord {
    /// That of a delete marker.
    pub fn marker(owner: &str) -> Self {
        Self {
            etag: String::new(),
            lies: Lies::Nowhere,
            key: None,
            checksum: None,
            parts: None,
            headers: Headers::default(),
            metadata: IndexMap::new(),
            storage_class: STANDARD.to_owned(),
            tags: Vec::new(),
            owner: owner.to_owned(),
            acl: None,
            retention: None,
            legal_hold: None,
            customer_key_md5: None,
            restored_until: None,
        }
    }
}

/// The storage class of what asks for none.
pub const STANDARD: &str = "STANDARD";
