//! Copying: an object into another, or a stretch of one into a part.
//!
//! A copy of a whole object writes no content: it refers to the same files, and has their keys sealed
//! for whoever may read the copy.

use std::sync::Arc;

use store::Tx;
use wire::s3::checksum::Hasher;

use super::{
    Buckets,
    content::{
        Checksum, Lies, SealedKey,
        checksum::Algorithm,
        cipher::{CustomerKey, DataKey},
        intake::{ContentError, Taken},
    },
    error::{Error, Result},
    place::{Content, Failure},
    range::Span,
    read::Found,
    registry::Bucket,
    rows::{self, Part, Version},
};

/// What reading a content through tells of it.
pub struct Digests {
    pub md5: [u8; 16],
    pub checksum: Checksum,
}

impl Buckets {
    /// Reads a content through.
    pub(super) async fn digest(
        &self,
        found: Found<'_>,
        customer: Option<&CustomerKey>,
        algorithm: Algorithm,
    ) -> Result<Digests> {
        let span = Span {
            from: 0,
            len: found.version.size,
        };
        let mut reading = found.read(span, customer).await?;
        let mut hashers = (Hasher::new(Algorithm::Md5), Hasher::new(algorithm));
        while let Some(piece) = reading.next().await? {
            hashers.0.update(&piece);
            hashers.1.update(&piece);
        }
        Ok(Digests {
            md5: hashers.0.finish().try_into().unwrap_or_default(),
            checksum: Checksum::of(algorithm, &hashers.1.finish()),
        })
    }

    /// Takes a stretch of a content in anew, as a part.
    pub(super) async fn take_copy(
        &self,
        found: Found<'_>,
        span: Span,
        source_key: Option<&CustomerKey>,
        customer: Option<&CustomerKey>,
        algorithm: Algorithm,
    ) -> Result<(Taken, Digests)> {
        let mut reading = found.read(span, source_key).await?;
        let mut intake = self.intake(customer)?.into_file();
        let mut hashers = (Hasher::new(Algorithm::Md5), Hasher::new(algorithm));
        while let Some(piece) = reading.next().await? {
            hashers.0.update(&piece);
            hashers.1.update(&piece);
            intake.write(piece).await?;
        }
        let digests = Digests {
            md5: hashers.0.finish().try_into().unwrap_or_default(),
            checksum: Checksum::of(algorithm, &hashers.1.finish()),
        };
        Ok((intake.finish().await?, digests))
    }

    /// What makes a source's content the content of a copy too, in the copy's transaction.
    pub(super) fn shared(
        &self,
        source_bucket: &Bucket,
        source: &Version,
        source_key: Option<&CustomerKey>,
        customer: Option<&CustomerKey>,
    ) -> Result<Shared> {
        let reseal = |sealed: &SealedKey| {
            let opened = DataKey::open(sealed, self.secrets(), source_key);
            let sealed = opened.and_then(|key| key.seal(self.secrets(), customer));
            sealed.map_err(|error| Error::from(ContentError::from(error)))
        };
        let key = source.record.key.as_ref().map(reseal).transpose()?;
        // Parts have keys of their own, which are sealed anew only for another reader.
        let is_same = source_key.is_none() && customer.is_none();
        let (secrets, keys) = (
            self.secrets().clone(),
            (source_key.cloned(), customer.cloned()),
        );
        let (id, source) = (source_bucket.id(), source.clone());
        let content: Content = Arc::new(move |tx, seq| {
            let there = rows::find(tx, id, &source.key, &source.version_id)?;
            if there.is_none_or(|there| there.seq != source.seq) {
                return Err(Error::no_key(&source.key).into());
            }
            match &source.record.lies {
                Lies::Nowhere => Ok(Lies::Nowhere),
                Lies::Row(body) => {
                    let body = rows::body(tx, *body)?;
                    rows::insert_body(tx, seq, &body)?;
                    Ok(Lies::Row(seq))
                }
                Lies::File(hash) => {
                    rows::refer(tx, *hash)?;
                    Ok(Lies::File(*hash))
                }
                Lies::Parts(manifest) => {
                    let reseal = |sealed: &SealedKey| {
                        if is_same {
                            return Ok(sealed.clone());
                        }
                        let opened = DataKey::open(sealed, &secrets, keys.0.as_ref());
                        let sealed = opened.and_then(|key| key.seal(&secrets, keys.1.as_ref()));
                        sealed.map_err(|error| Error::from(ContentError::from(error)))
                    };
                    share_parts(tx, *manifest, seq, reseal)?;
                    Ok(Lies::Parts(seq))
                }
            }
        });
        Ok(Shared { key, content })
    }
}

/// A content that a copy shares with its source, with the key of it for the copy.
pub struct Shared {
    pub key: Option<SealedKey>,
    pub content: Content,
}

fn share_parts(
    tx: &mut Tx,
    from: i64,
    to: i64,
    reseal: impl Fn(&SealedKey) -> Result<SealedKey>,
) -> Result<(), Failure> {
    let parts = rows::parts(tx, from, 0, super::limits::PART_NUMBER_MAX as usize)?;
    for mut part in parts {
        if let Lies::File(hash) = part.record.lies {
            rows::refer(tx, hash)?;
        }
        part.record.key = reseal(&part.record.key)?;
        rows::insert_part(tx, to, &Part { ..part })?;
    }
    Ok(())
}
