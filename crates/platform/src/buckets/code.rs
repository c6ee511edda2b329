//! Functions' code that lies in a bucket.

use async_trait::async_trait;
use bytes::Bytes;
use wire::Context;

use super::{
    Buckets,
    api::errors::named,
    error::{Code, Error},
    range::Span,
};
use crate::functions::{CodeFailure, CodePlace, CodeStore};

#[async_trait]
impl CodeStore for Buckets {
    async fn code(
        &self,
        cx: &Context,
        place: &CodePlace,
        bytes_max: u64,
    ) -> Result<Bytes, CodeFailure> {
        let read = self.read_code(cx, place, bytes_max).await;
        read.map_err(|error| CodeFailure {
            code: named(error.code).0.to_owned(),
            message: error.message.clone(),
        })
    }
}

impl Buckets {
    async fn read_code(
        &self,
        cx: &Context,
        place: &CodePlace,
        bytes_max: u64,
    ) -> Result<Bytes, Error> {
        let bucket = self.registry().require(&place.bucket)?;
        let region = &bucket.record.region;
        if *region != cx.region {
            let message = format!(
                "The bucket is in this region: {region}. Please use this region to retry the request"
            );
            return Err(Error::new(Code::PermanentRedirect, message));
        }
        let version = place.version.as_deref();
        let found = self
            .find_readable(cx, &bucket, &place.key, version, "s3:GetObject")
            .await?;
        if found.version.size > bytes_max {
            let message = "The code is larger than a function may be";
            return Err(Error::new(Code::EntityTooLarge, message));
        }
        if found.version.record.customer_key_md5.is_some() {
            return Err(Error::request(
                "The object was stored using a form of Server Side Encryption. The correct \
                 parameters must be provided to retrieve the object.",
            ));
        }
        let span = Span {
            from: 0,
            len: found.version.size,
        };
        let mut reading = found.read(span, None).await?;
        let mut code = Vec::with_capacity(usize::try_from(span.len).unwrap_or_default());
        while let Some(piece) = reading.next().await? {
            code.extend_from_slice(&piece);
        }
        Ok(code.into())
    }
}
