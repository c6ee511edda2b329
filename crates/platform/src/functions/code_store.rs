//! Code that lies in a bucket: taken from there when a function or layer is made or updated.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use wire::Context;

use super::{
    Functions,
    error::{Error, Result},
};

/// Whoever has buckets.
#[async_trait]
pub trait CodeStore: Send + Sync {
    /// An object, as this caller may read it.
    async fn code(
        &self,
        cx: &Context,
        place: &CodePlace,
        bytes_max: u64,
    ) -> std::result::Result<Bytes, CodeFailure>;
}

/// Where code lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodePlace {
    pub bucket: String,
    pub key: String,
    pub version: Option<String>,
}

/// Why there is none, in S3's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeFailure {
    pub code: String,
    pub message: String,
}

/// What of a request says where code lies.
pub struct Asked<'a> {
    pub bucket: &'a mut Option<String>,
    pub key: &'a mut Option<String>,
    pub version: &'a mut Option<String>,
    pub zip: &'a mut Option<Bytes>,
}

impl Functions {
    /// Says where code that lies in buckets comes from. Once.
    pub fn take_code_from(&self, store: Arc<dyn CodeStore>) {
        let _ = self.0.code_store.set(store);
    }

    /// Puts what lies in a bucket in the place of a package that came with the request.
    pub(super) async fn fetch_code(&self, cx: &Context, asked: Asked<'_>) -> Result<()> {
        let Some(store) = self.0.code_store.get() else {
            return Ok(());
        };
        let place = match (asked.bucket.take(), asked.key.take(), asked.version.take()) {
            (None, None, None) => return Ok(()),
            (Some(bucket), Some(key), version) => CodePlace {
                bucket,
                key,
                version,
            },
            _ => {
                return Err(Error::invalid(
                    "Please provide both S3Bucket and S3Key for function code.",
                ));
            }
        };
        if asked.zip.is_some() {
            return Err(Error::invalid(
                "Please do not provide other FunctionCode parameters when providing a ZipFile.",
            ));
        }
        let max = super::limits::UNZIPPED_BYTES_MAX;
        let code = store.code(cx, &place, max).await;
        *asked.zip = Some(code.map_err(|failure| {
            let CodeFailure { code, message } = failure;
            Error::invalid(format!(
                "Error occurred while GetObject. S3 Error Code: {code}. S3 Error Message: {message}"
            ))
        })?);
        Ok(())
    }
}
