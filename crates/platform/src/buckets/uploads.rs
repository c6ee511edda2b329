//! Multipart uploads: beginning, parts, and the object that they become.
//!
//! A part is a file. The object is its parts: completing writes no byte of content again, it says
//! where in the object each part begins.

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;
use md5::{Digest, Md5};
use store::{ReadTx, Row, Tx, params};

use super::{
    Buckets,
    content::{
        Algorithm, Checksum, Lies,
        checksum::{self, composite, whole},
        intake::{Held, hex},
    },
    error::{Code, Error, Result},
    limits,
    list::{Page, Query, behind, behind_prefix, group},
    place::{Content, Failure},
    registry::Bucket,
    rows::{self, Part},
    tables::{PartRecord, RECORD_VERSION, UploadRecord},
};

/// An upload that is under way.
#[derive(Debug, Clone, PartialEq)]
pub struct Upload {
    /// Its manifest's number, by which uploads of a key are in the order of their beginning.
    pub id: i64,
    pub key: String,
    pub upload_id: String,
    pub initiated: Timestamp,
    pub record: UploadRecord,
}

const COLUMNS: &str = "key, id, upload_id, initiated_ms, version, body";

pub fn find(
    tx: &mut ReadTx,
    bucket: i64,
    key: &str,
    upload_id: &str,
) -> store::Result<Option<Upload>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM object_uploads WHERE bucket = $1 AND key = $2 AND upload_id = $3"
    );
    let row = tx.query_opt(&sql, params![bucket, key.as_bytes(), upload_id])?;
    row.map(upload).transpose()
}

/// Uploads from a key and within it a number on.
pub fn scan(
    tx: &mut ReadTx,
    bucket: i64,
    from: (&[u8], i64),
    limit: usize,
) -> store::Result<Vec<Upload>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM object_uploads \
         WHERE bucket = $1 AND (key > $2 OR (key = $2 AND id >= $3)) ORDER BY key, id LIMIT $4"
    );
    let rows = tx.query(&sql, params![bucket, from.0, from.1, limit as i64])?;
    rows.into_iter().map(upload).collect()
}

fn upload(mut row: Row) -> store::Result<Upload> {
    Ok(Upload {
        key: rows::text(row.take("key")?)?,
        id: row.get("id")?,
        upload_id: row.take("upload_id")?,
        initiated: rows::moment(row.get("initiated_ms")?)?,
        record: rows::decode(&row, "a multipart upload")?,
    })
}

/// Lists uploads; `after_upload` is the one of the query's key that it goes on behind.
pub fn list(
    tx: &mut ReadTx,
    bucket: i64,
    query: &Query,
    after_upload: Option<&str>,
) -> Result<Page<Upload>> {
    let mut page = Page::default();
    let prefix = query.prefix.as_bytes().to_vec();
    let mut from = (prefix.clone(), i64::MIN);
    if let Some(after) = &query.after {
        let known = match after_upload {
            Some(id) => find(tx, bucket, after, id)?,
            None => None,
        };
        let behind = match known {
            Some(upload) => (after.as_bytes().to_vec(), upload.id + 1),
            None => (behind(query, after), i64::MIN),
        };
        from = behind.max(from);
    }
    loop {
        let found = scan(tx, bucket, (&from.0, from.1), limits::SCAN_ROWS)?;
        let is_end = found.len() < limits::SCAN_ROWS;
        for upload in found {
            if upload.key.as_bytes() < from.0.as_slice() {
                continue;
            }
            if !upload.key.starts_with(&query.prefix) {
                return Ok(page);
            }
            if page.items.len() + page.prefixes.len() == query.max {
                page.is_truncated = query.max > 0;
                return Ok(page);
            }
            match group(query, &upload.key) {
                Some(prefix) => {
                    let prefix = prefix.to_owned();
                    from = (behind_prefix(prefix.as_bytes()), i64::MIN);
                    page.last = Some(prefix.clone());
                    page.prefixes.push(prefix);
                }
                None => {
                    from = (upload.key.as_bytes().to_vec(), upload.id + 1);
                    page.last = Some(upload.key.clone());
                    page.items.push(upload);
                }
            }
        }
        if is_end {
            return Ok(page);
        }
    }
}

impl Buckets {
    pub(super) async fn begin_upload(
        &self,
        bucket: &Arc<Bucket>,
        key: &str,
        record: UploadRecord,
        now: Timestamp,
    ) -> Result<String> {
        let upload_id = super::ids::opaque(96);
        let (new_key, new_id) = (key.to_owned(), upload_id.clone());
        let begun = self.against(bucket.clone(), move |tx, this, bucket| {
            tx.execute(
                "INSERT INTO object_uploads (bucket, key, id, upload_id, initiated_ms, is_crossed, \
                 version, body) VALUES ($1, $2, $3, $4, $5, 0, $6, $7)",
                params![
                    bucket.id(),
                    new_key.as_bytes(),
                    this.next_seq(),
                    &new_id,
                    now.as_millisecond(),
                    RECORD_VERSION,
                    rows::encode(&record)?,
                ],
            )?;
            Ok(())
        });
        begun.await.map_err(Failure::into_error)?;
        Ok(upload_id)
    }

    pub(super) async fn find_upload(
        &self,
        bucket: &Bucket,
        key: &str,
        upload_id: &str,
    ) -> Result<Upload> {
        let (id, key, wanted) = (bucket.id(), key.to_owned(), upload_id.to_owned());
        let found = self.store().read(move |tx| find(tx, id, &key, &wanted));
        found.await?.ok_or_else(|| Error::no_upload(upload_id))
    }

    /// Puts a part in its place, and what had its number goes.
    pub(super) async fn place_part(
        &self,
        bucket: &Bucket,
        upload: &Upload,
        part: Part,
        held: Held,
    ) -> Result<()> {
        let (lies, mut file) = match held {
            Held::File(file) => (Lies::File(file.hash), Some(file)),
            Held::Nothing | Held::Bytes(_) => (Lies::Nowhere, None),
        };
        if let Some(file) = &mut file {
            file.keep();
        }
        let (id, upload, this) = (bucket.id(), upload.clone(), self.clone());
        let placed = self.store().try_write(move |tx| -> Result<(), Failure> {
            if find(tx, id, &upload.key, &upload.upload_id)?.is_none() {
                return Err(Error::no_upload(&upload.upload_id).into());
            }
            let old = rows::parts(tx, upload.id, part.number - 1, 1)?;
            for old in old.iter().filter(|old| old.number == part.number) {
                rows::remove_part(tx, upload.id, old)?;
                this.released(&old.record.lies);
            }
            if let Lies::File(hash) = lies {
                rows::refer_first(tx, hash)?;
            }
            let mut part = part.clone();
            part.record.lies = lies.clone();
            Ok(rows::insert_part(tx, upload.id, &part)?)
        });
        let placed = placed.await;
        if let (Err(failure), Some(file)) = (&placed, file)
            && failure.is_certain()
        {
            file.discard();
        }
        self.changed(bucket);
        placed.map_err(Failure::into_error)
    }

    pub(super) async fn abort(&self, bucket: &Bucket, upload: &Upload) -> Result<()> {
        let (id, upload) = (bucket.id(), upload.clone());
        let ended = self
            .store()
            .try_write(move |tx| Ok::<_, Failure>(end(tx, id, &upload)?));
        ended.await.map_err(Failure::into_error)?;
        self.garbage_came();
        Ok(())
    }
}

/// An upload ends without an object.
pub fn end(tx: &mut Tx, bucket: i64, upload: &Upload) -> store::Result<()> {
    let gone = tx.execute(
        "DELETE FROM object_uploads WHERE bucket = $1 AND key = $2 AND id = $3",
        params![bucket, upload.key.as_bytes(), upload.id],
    )?;
    if gone > 0 {
        rows::release(tx, &Lies::Parts(upload.id))?;
    }
    Ok(())
}

/// A part as the client names it to complete an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub number: i64,
    /// Without quotes.
    pub etag: String,
    pub checksum: Option<(Algorithm, String)>,
}

/// The object that an upload becomes.
#[derive(Debug)]
pub struct Whole {
    pub parts: Vec<Part>,
    pub size: u64,
    pub etag: String,
    pub checksum: Option<Checksum>,
}

impl Whole {
    /// Of parts that are there and those that are named.
    pub fn decide(upload: &Upload, there: Vec<Part>, named: &[Named]) -> Result<Self> {
        if !named.is_sorted_by(|one, next| one.number < next.number) {
            let message = "The list of parts was not in ascending order. Parts must be ordered by part number.";
            return Err(
                Error::new(Code::InvalidPartOrder, message).with("UploadId", &upload.upload_id)
            );
        }
        let asked = upload.record.checksum;
        let mut there: HashMap<i64, Part> =
            there.into_iter().map(|part| (part.number, part)).collect();
        let (mut parts, mut start, mut md5) = (Vec::new(), 0, Md5::new());
        let last = named.last().map(|last| last.number);
        for named in named {
            let invalid = || invalid_part(upload, named);
            let mut part = there.remove(&named.number).ok_or_else(invalid)?;
            if part.record.etag != named.etag {
                return Err(invalid());
            }
            check_checksum(asked.is_some_and(|a| a.is_composite), named, &part, invalid)?;
            if Some(named.number) != last && part.size < limits::PART_BYTES_MIN {
                return Err(too_small(&part));
            }
            md5.update(unhex(&part.record.etag));
            part.start = start;
            start += part.size;
            parts.push(part);
        }
        let values = || parts.iter().map(|part| part.record.checksum.as_ref());
        let algorithm = asked.map_or(checksum::DEFAULT, |asked| asked.algorithm);
        let checksum = match asked.is_some_and(|asked| asked.is_composite) {
            true => composite(algorithm, values()),
            false => whole(algorithm, values().zip(parts.iter().map(|part| part.size))),
        };
        Ok(Self {
            size: start,
            etag: format!("{}-{}", hex(&md5.finalize()), parts.len()),
            checksum,
            parts,
        })
    }

    /// What makes the upload's parts the object's, in the transaction that puts it in its place.
    pub fn content(&self, this: &Buckets, bucket: i64, upload: &Upload) -> Content {
        let (this, upload) = (this.clone(), upload.clone());
        let chosen: HashMap<i64, Part> = self
            .parts
            .iter()
            .map(|part| (part.number, part.clone()))
            .collect();
        Arc::new(move |tx, _| {
            if find(tx, bucket, &upload.key, &upload.upload_id)?.is_none() {
                return Err(Error::no_upload(&upload.upload_id).into());
            }
            let there = rows::parts(tx, upload.id, 0, limits::PART_NUMBER_MAX as usize)?;
            let mut count = 0;
            for part in &there {
                let Some(chosen) = chosen.get(&part.number) else {
                    rows::remove_part(tx, upload.id, part)?;
                    this.released(&part.record.lies);
                    continue;
                };
                // Put again since the decision.
                if chosen.record != part.record {
                    break;
                }
                count += 1;
                tx.execute(
                    "UPDATE object_parts SET start = $1 WHERE manifest = $2 AND number = $3",
                    params![chosen.start as i64, upload.id, part.number],
                )?;
            }
            match count == chosen.len() {
                true => Ok(Lies::Parts(upload.id)),
                false => Err(Error::new(Code::InvalidPart, INVALID_PART)
                    .with("UploadId", &upload.upload_id)
                    .into()),
            }
        })
    }
}

const INVALID_PART: &str = "One or more of the specified parts could not be found.  The part may \
                            not have been uploaded, or the specified entity tag may not match the \
                            part's entity tag.";

fn invalid_part(upload: &Upload, named: &Named) -> Error {
    Error::new(Code::InvalidPart, INVALID_PART)
        .with("ETag", &named.etag)
        .with("PartNumber", named.number.to_string())
        .with("UploadId", &upload.upload_id)
}

fn too_small(part: &Part) -> Error {
    let message = "Your proposed upload is smaller than the minimum allowed size";
    Error::new(Code::EntityTooSmall, message)
        .with("ETag", &part.record.etag)
        .with("MinSizeAllowed", limits::PART_BYTES_MIN.to_string())
        .with("PartNumber", part.number.to_string())
        .with("ProposedSize", part.size.to_string())
}

/// Where the parts' checksums make the object's, each has to be named.
fn check_checksum(
    is_needed: bool,
    named: &Named,
    part: &Part,
    invalid: impl Fn() -> Error,
) -> Result<()> {
    match (&named.checksum, &part.record.checksum) {
        (None, Some(known)) if is_needed => {
            let algorithm = known.algorithm.name().to_ascii_lowercase();
            let number = named.number;
            Err(Error::request(format!(
                "The upload was created using a {algorithm} checksum. The complete request must \
                 include the checksum for each part. It was missing for part {number} in the \
                 request."
            )))
        }
        (Some((algorithm, value)), Some(known))
            if *algorithm == known.algorithm && *value != known.value =>
        {
            Err(invalid())
        }
        (Some((algorithm, _)), Some(known)) if is_needed && *algorithm != known.algorithm => {
            let algorithm = algorithm.name().to_ascii_lowercase();
            let number = named.number;
            Err(Error::new(
                Code::BadDigest,
                format!(
                    "The {algorithm} you specified for part {number} did not match what we received."
                ),
            ))
        }
        _ => Ok(()),
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or_default() as u8;
    let pairs = text.as_bytes().chunks_exact(2);
    pairs
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}

/// A part's record before it lies anywhere.
pub fn part(number: i64, size: u64, record: PartRecord) -> Part {
    Part {
        number,
        start: 0,
        size,
        record,
    }
}
