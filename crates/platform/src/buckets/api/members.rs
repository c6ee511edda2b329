//! Members that many of S3's shapes have: read and set wherever they are, by macros, as the shapes are
//! structures of their own.

/// Puts a checksum where answers have one.
macro_rules! set_checksum {
    ($to:expr, $checksum:expr) => {
        if let Some(checksum) = $checksum {
            use wire::s3::checksum::Algorithm;
            let value = Some(checksum.value.clone());
            match checksum.algorithm {
                Algorithm::Crc32 => $to.checksum_crc32 = value,
                Algorithm::Crc32C => $to.checksum_crc32_c = value,
                Algorithm::Crc64Nvme => $to.checksum_crc64_nvme = value,
                Algorithm::Sha1 => $to.checksum_sha1 = value,
                Algorithm::Sha256 => $to.checksum_sha256 = value,
                Algorithm::Sha512 => $to.checksum_sha512 = value,
                Algorithm::Md5 => $to.checksum_md5 = value,
                Algorithm::XxHash64 => $to.checksum_xxhash64 = value,
                Algorithm::XxHash3 => $to.checksum_xxhash3 = value,
                Algorithm::XxHash128 => $to.checksum_xxhash128 = value,
            }
        }
    };
}
pub(super) use set_checksum;

/// The checksum that a request or a part of one has, with its algorithm.
macro_rules! given_checksum {
    ($from:expr) => {{
        use wire::s3::checksum::Algorithm;
        let all = [
            (Algorithm::Crc32, &$from.checksum_crc32),
            (Algorithm::Crc32C, &$from.checksum_crc32_c),
            (Algorithm::Crc64Nvme, &$from.checksum_crc64_nvme),
            (Algorithm::Sha1, &$from.checksum_sha1),
            (Algorithm::Sha256, &$from.checksum_sha256),
            (Algorithm::Sha512, &$from.checksum_sha512),
            (Algorithm::Md5, &$from.checksum_md5),
            (Algorithm::XxHash64, &$from.checksum_xxhash64),
            (Algorithm::XxHash3, &$from.checksum_xxhash3),
            (Algorithm::XxHash128, &$from.checksum_xxhash128),
        ];
        let mut given = all
            .into_iter()
            .filter_map(|(algorithm, value)| Some((algorithm, value.clone()?)));
        given.next()
    }};
}
pub(super) use given_checksum;

/// The headers that an object keeps.
macro_rules! headers_of {
    ($input:expr) => {
        crate::buckets::tables::Headers {
            content_type: $input.content_type.clone(),
            cache_control: $input.cache_control.clone(),
            content_disposition: $input.content_disposition.clone(),
            content_encoding: crate::buckets::api::given::content_encoding(
                $input.content_encoding.as_deref(),
            ),
            content_language: $input.content_language.clone(),
            expires: $input.expires.clone(),
            website_redirect: $input.website_redirect_location.clone(),
        }
    };
}
pub(super) use headers_of;

/// The customer's key of a request, if it has one.
macro_rules! customer_key_of {
    ($input:expr) => {
        crate::buckets::api::given::customer_key(
            $input.sse_customer_algorithm.as_deref(),
            $input.sse_customer_key.as_deref(),
            $input.sse_customer_key_md5.as_deref(),
        )
    };
}
pub(super) use customer_key_of;

/// The customer's key of a copy's source.
macro_rules! source_key_of {
    ($input:expr) => {
        crate::buckets::api::given::customer_key(
            $input.copy_source_sse_customer_algorithm.as_deref(),
            $input.copy_source_sse_customer_key.as_deref(),
            $input.copy_source_sse_customer_key_md5.as_deref(),
        )
    };
}
pub(super) use source_key_of;

/// The encryption that a request asks for: ours, or by the customer's key.
macro_rules! encryption_of {
    ($input:expr) => {
        crate::buckets::api::given::encryption(
            $input.server_side_encryption.as_deref(),
            $input.ssekms_key_id.as_deref(),
            crate::buckets::api::members::customer_key_of!($input)?,
        )
    };
}
pub(super) use encryption_of;

/// Says in an answer how an object is encrypted.
macro_rules! set_encryption {
    ($to:expr, $key_md5:expr) => {
        match $key_md5 {
            None => $to.server_side_encryption = Some("AES256".to_owned()),
            Some(md5) => {
                $to.sse_customer_algorithm = Some("AES256".to_owned());
                $to.sse_customer_key_md5 = Some(md5.clone());
            }
        }
    };
}
pub(super) use set_encryption;

/// The grants of a request's headers.
macro_rules! grants_of {
    ($input:expr) => {{
        use crate::buckets::acl::Permission;
        [
            (
                "x-amz-grant-full-control",
                Permission::FullControl,
                $input.grant_full_control.as_deref(),
            ),
            (
                "x-amz-grant-read",
                Permission::Read,
                $input.grant_read.as_deref(),
            ),
            (
                "x-amz-grant-read-acp",
                Permission::ReadAcp,
                $input.grant_read_acp.as_deref(),
            ),
            (
                "x-amz-grant-write-acp",
                Permission::WriteAcp,
                $input.grant_write_acp.as_deref(),
            ),
        ]
    }};
}
pub(super) use grants_of;

/// The lock that a request asks for.
macro_rules! lock_of {
    ($input:expr, $bucket:expr, $now:expr) => {
        crate::buckets::api::given::lock(
            $bucket,
            $input.object_lock_mode.as_deref(),
            $input.object_lock_retain_until_date,
            $input.object_lock_legal_hold_status.as_deref(),
            $now,
        )
    };
}
pub(super) use lock_of;
