//! Multipart uploads.

use wire::{
    Context,
    s3::{
        AbortMultipartUploadOutput, AbortMultipartUploadRequest, CompleteMultipartUploadOutput,
        CompleteMultipartUploadRequest, CreateMultipartUploadOutput, CreateMultipartUploadRequest,
        Initiator, ListMultipartUploadsOutput, ListMultipartUploadsRequest, ListPartsOutput,
        ListPartsRequest, MultipartUpload, Part as PartShape, UploadPartOutput, UploadPartRequest,
    },
};

use super::{
    get::check_customer,
    given, happening,
    listing::{Encoding, max_keys, some},
    members::{
        customer_key_of, encryption_of, given_checksum, grants_of, headers_of, lock_of,
        set_checksum, set_encryption,
    },
    new_version, owner,
    put::{check_length, etag},
    quoted, whole_second,
};
use crate::buckets::{
    Buckets,
    conditions::{WriteConditions, bare},
    content::{
        Algorithm, Lies,
        checksum::{self, is_linear, kind},
        cipher::CustomerKey,
    },
    error::{Code, Error, Result},
    front::Upload as Body,
    limits,
    list::Query,
    name,
    notify::Event,
    place::{Failure, New},
    rows,
    tables::{ObjectRecord, PartRecord, UploadChecksum, UploadRecord},
    tags,
    uploads::{self, Named, Upload, Whole},
};

impl Buckets {
    pub(super) async fn create_upload(
        &self,
        cx: &Context,
        input: CreateMultipartUploadRequest,
    ) -> Result<CreateMultipartUploadOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        name::check_key(&input.key)?;
        let owner = given::object_owner(cx, &bucket);
        let acl = given::acl(&bucket, input.acl.as_deref(), &grants_of!(input), &owner)?;
        self.may_write(cx, &bucket, &input.key, &[], acl.is_some())?;
        let customer = encryption_of!(input)?;
        let headers = headers_of!(input);
        given::check_redirect(&headers)?;
        let (retention, legal_hold) = lock_of!(input, &bucket, cx.now)?;
        let checksum = upload_checksum(
            input.checksum_algorithm.as_deref(),
            input.checksum_type.as_deref(),
        )?;
        let record = UploadRecord {
            initiator: owner,
            headers,
            metadata: given::metadata(input.metadata)?,
            storage_class: given::storage_class(input.storage_class.as_deref())?,
            tags: tags::of_header(input.tagging.as_deref())?,
            acl,
            retention,
            legal_hold,
            checksum,
            customer_key_md5: customer.map(|key| key.md5),
        };
        let mut output = CreateMultipartUploadOutput {
            bucket: Some(bucket.name.clone()),
            key: Some(input.key.clone()),
            checksum_algorithm: checksum.map(|asked| asked.algorithm.name().to_owned()),
            checksum_type: checksum.map(|asked| kind(asked.is_composite).to_owned()),
            ..CreateMultipartUploadOutput::default()
        };
        set_encryption!(output, &record.customer_key_md5);
        let begun = self.begin_upload(&bucket, &input.key, record, whole_second(cx.now));
        output.upload_id = Some(begun.await?);
        Ok(output)
    }

    pub(super) async fn upload_part(
        &self,
        cx: &Context,
        input: UploadPartRequest,
        body: Body,
    ) -> Result<UploadPartOutput, wire::Error> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.may_write(cx, &bucket, &input.key, &[], false)?;
        check_number(input.part_number)?;
        let upload = self
            .find_upload(&bucket, &input.key, &input.upload_id)
            .await?;
        let customer = customer_key_of!(input)?;
        check_upload_key(&upload, customer.as_ref())?;
        check_length(body.length(), limits::PART_BYTES_MAX)?;
        let sent = body.algorithm();
        let algorithm = part_algorithm(&upload, sent)?;
        let intake = self.intake(customer.as_ref())?.into_file();
        let taken = self.take_in(body, intake, &[algorithm]).await?;
        let (taken, md5, checksums) = taken;
        let find = |wanted| checksums.iter().find(|c| c.algorithm == wanted).cloned();
        let record = PartRecord {
            etag: etag(&md5, customer.as_ref()),
            modified: whole_second(cx.now),
            lies: Lies::Nowhere,
            key: taken.key,
            checksum: find(algorithm),
        };
        let etag = record.etag.clone();
        let part = uploads::part(i64::from(input.part_number), taken.len, record);
        self.place_part(&bucket, &upload, part, taken.held).await?;
        let shown = sent.or(upload.record.checksum.map(|asked| asked.algorithm));
        let mut output = UploadPartOutput {
            e_tag: Some(quoted(&etag)),
            ..UploadPartOutput::default()
        };
        set_checksum!(output, shown.and_then(find));
        set_encryption!(output, &upload.record.customer_key_md5);
        Ok(output)
    }

    pub(super) async fn complete_upload(
        &self,
        cx: &Context,
        input: CompleteMultipartUploadRequest,
    ) -> Result<CompleteMultipartUploadOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.may_write(cx, &bucket, &input.key, &[], false)?;
        let upload = self
            .find_upload(&bucket, &input.key, &input.upload_id)
            .await?;
        let conditions =
            WriteConditions::read(input.if_match.as_deref(), input.if_none_match.as_deref())?;
        let customer = customer_key_of!(input)?;
        if customer.is_some() {
            check_upload_key(&upload, customer.as_ref())?;
        }
        let parts = input.multipart_upload.clone().and_then(|given| given.parts);
        let parts = parts.filter(|parts| !parts.is_empty());
        let named = parts.ok_or_else(Error::malformed_xml)?.into_iter();
        let named: Vec<Named> = named
            .map(|part| Named {
                number: i64::from(part.part_number.unwrap_or_default()),
                checksum: given_checksum!(part),
                etag: bare(&part.e_tag.unwrap_or_default()).to_owned(),
            })
            .collect();
        if let Some(bad) = named.iter().find(|part| !is_number(part.number)) {
            return Err(bad_number(bad.number));
        }
        let manifest = upload.id;
        let there = self
            .store()
            .read(move |tx| rows::parts(tx, manifest, 0, limits::PART_NUMBER_MAX as usize));
        let mut whole = Whole::decide(&upload, there.await?, &named)?;
        check_whole(&upload, &mut whole, &input)?;
        let record = object_of(&upload, &whole);
        let new = New {
            key: upload.key.clone(),
            size: whole.size,
            modified: whole_second(cx.now),
            is_marker: false,
            record,
            content: whole.content(self, bucket.id(), &upload),
            conditions,
            upload: Some(upload.id),
            happening: Some(happening(cx, Event::CompleteMultipartUpload)),
        };
        let placed = self.place(bucket.clone(), new).await;
        let version = placed.map_err(Failure::into_error)?;
        self.changed(&bucket);
        let mut output = CompleteMultipartUploadOutput {
            location: Some(super::location_of(cx, &bucket, &version.key)),
            bucket: Some(bucket.name.clone()),
            key: Some(version.key.clone()),
            expiration: self.expiration(&bucket, &version),
            e_tag: Some(quoted(&version.record.etag)),
            version_id: new_version(&version),
            ..CompleteMultipartUploadOutput::default()
        };
        if let Some(checksum) = &version.record.checksum {
            output.checksum_type = Some(checksum.kind().to_owned());
            set_checksum!(output, Some(checksum));
        }
        if version.record.customer_key_md5.is_none() {
            output.server_side_encryption = Some("AES256".to_owned());
        }
        Ok(output)
    }

    pub(super) async fn abort_upload(
        &self,
        cx: &Context,
        input: AbortMultipartUploadRequest,
    ) -> Result<AbortMultipartUploadOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        let action = "s3:AbortMultipartUpload";
        self.allowed(cx, &bucket, action, Some(&input.key))?;
        if input.if_match_initiated_time.is_some() {
            let header = "x-amz-if-match-initiated-time";
            return Err(Error::header_not_implemented(header));
        }
        let upload = self
            .find_upload(&bucket, &input.key, &input.upload_id)
            .await?;
        self.abort(&bucket, &upload).await?;
        Ok(AbortMultipartUploadOutput::default())
    }

    pub(super) async fn list_upload_parts(
        &self,
        cx: &Context,
        input: ListPartsRequest,
    ) -> Result<ListPartsOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        let action = "s3:ListMultipartUploadParts";
        self.allowed(cx, &bucket, action, Some(&input.key))?;
        let upload = self
            .find_upload(&bucket, &input.key, &input.upload_id)
            .await?;
        let max = max_keys(input.max_parts, "max-parts")?.min(limits::LIST_MAX);
        let after = i64::from(input.part_number_marker.unwrap_or_default());
        let manifest = upload.id;
        let found = self
            .store()
            .read(move |tx| rows::parts(tx, manifest, after, max + 1));
        let mut parts = found.await?;
        let is_truncated = parts.len() > max;
        parts.truncate(max);
        let next = parts.last().map_or(after, |last| last.number);
        let record = &upload.record;
        let asked = record.checksum;
        let shapes = parts.iter().map(|part| {
            let mut shape = PartShape {
                part_number: i32::try_from(part.number).ok(),
                last_modified: Some(part.record.modified),
                e_tag: Some(quoted(&part.record.etag)),
                size: i64::try_from(part.size).ok(),
                ..PartShape::default()
            };
            set_checksum!(
                shape,
                part.record.checksum.as_ref().filter(|_| asked.is_some())
            );
            shape
        });
        Ok(ListPartsOutput {
            bucket: Some(bucket.name.clone()),
            key: Some(upload.key.clone()),
            upload_id: Some(upload.upload_id.clone()),
            part_number_marker: i32::try_from(after).ok(),
            next_part_number_marker: i32::try_from(next).ok(),
            max_parts: i32::try_from(max).ok(),
            is_truncated: Some(is_truncated),
            parts: some(shapes.collect()),
            initiator: Some(initiator(&record.initiator)),
            owner: Some(owner(&record.initiator)),
            storage_class: Some(record.storage_class.clone()),
            checksum_algorithm: asked.map(|asked| asked.algorithm.name().to_owned()),
            checksum_type: asked.map(|asked| kind(asked.is_composite).to_owned()),
            ..ListPartsOutput::default()
        })
    }

    pub(super) async fn list_uploads(
        &self,
        cx: &Context,
        input: ListMultipartUploadsRequest,
    ) -> Result<ListMultipartUploadsOutput> {
        let bucket = self.bucket(&input.bucket, input.expected_bucket_owner.as_deref())?;
        self.may_list(cx, &bucket, "s3:ListBucketMultipartUploads")?;
        let encoding = Encoding::of(input.encoding_type.as_deref())?;
        let max = max_keys(input.max_uploads, "max-uploads")?.min(limits::LIST_MAX);
        let delimiter = input.delimiter.filter(|d| !d.is_empty());
        let query = Query {
            prefix: input.prefix.clone().unwrap_or_default(),
            delimiter: delimiter.clone(),
            after: input.key_marker.clone().filter(|marker| !marker.is_empty()),
            max,
        };
        let (id, marker) = (bucket.id(), input.upload_id_marker.clone());
        let listed = self
            .store()
            .try_read(move |tx| uploads::list(tx, id, &query, marker.as_deref()));
        let page = listed.await?;
        let last = page.items.last();
        let last = last.filter(|last| page.last.as_deref() == Some(last.key.as_str()));
        let shapes = page.items.iter().map(|upload| {
            let record = &upload.record;
            let asked = record.checksum;
            MultipartUpload {
                upload_id: Some(upload.upload_id.clone()),
                key: Some(encoding.text(&upload.key)),
                initiated: Some(upload.initiated),
                storage_class: Some(record.storage_class.clone()),
                owner: Some(owner(&record.initiator)),
                initiator: Some(initiator(&record.initiator)),
                checksum_algorithm: asked.map(|asked| asked.algorithm.name().to_owned()),
                checksum_type: asked.map(|asked| kind(asked.is_composite).to_owned()),
                version_id: None,
            }
        });
        Ok(ListMultipartUploadsOutput {
            bucket: Some(bucket.name.clone()),
            key_marker: Some(encoding.text(&input.key_marker.unwrap_or_default())),
            upload_id_marker: Some(input.upload_id_marker.unwrap_or_default()),
            next_key_marker: Some(encoding.text(last.map_or("", |last| &last.key))),
            next_upload_id_marker: Some(last.map_or(String::new(), |l| l.upload_id.clone())),
            prefix: input.prefix.as_deref().map(|prefix| encoding.text(prefix)),
            delimiter: delimiter.map(|delimiter| encoding.text(&delimiter)),
            max_uploads: i32::try_from(max).ok(),
            is_truncated: Some(page.is_truncated),
            uploads: some(shapes.collect()),
            common_prefixes: encoding.prefixes(&page),
            encoding_type: encoding.name(),
            request_charged: None,
        })
    }
}

fn initiator(account_id: &str) -> Initiator {
    let owner = owner(account_id);
    Initiator {
        id: owner.id,
        display_name: Some(account_id.to_owned()),
    }
}

/// The checksum that an upload is to have. Which kinds there are of which algorithm is S3's table.
fn upload_checksum(
    algorithm: Option<&str>,
    asked_kind: Option<&str>,
) -> Result<Option<UploadChecksum>> {
    let Some(name) = algorithm else {
        return match asked_kind {
            None => Ok(None),
            Some(_) => Err(Error::request(
                "The x-amz-checksum-type header can only be used with the \
                 x-amz-checksum-algorithm header.",
            )),
        };
    };
    let algorithm = Algorithm::named(name).ok_or_else(|| {
        Error::request(
            "Checksum algorithm provided is unsupported. Please try again with any of \
                        the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]",
        )
    })?;
    let is_composite = match asked_kind {
        None => algorithm != Algorithm::Crc64Nvme,
        Some("COMPOSITE") => true,
        Some("FULL_OBJECT") => false,
        Some(_) => {
            return Err(Error::request(
                "Value for x-amz-checksum-type header is invalid.",
            ));
        }
    };
    let is_possible = match is_composite {
        true => algorithm != Algorithm::Crc64Nvme,
        false => is_linear(algorithm),
    };
    if !is_possible {
        let (kind, name) = (kind(is_composite), algorithm.name().to_ascii_lowercase());
        return Err(Error::request(format!(
            "The {kind} checksum type cannot be used with the {name} checksum algorithm."
        )));
    }
    Ok(Some(UploadChecksum {
        algorithm,
        is_composite,
    }))
}

/// The algorithm of a part's checksum: the upload's, which the client's has to be.
pub fn part_algorithm(upload: &Upload, sent: Option<Algorithm>) -> Result<Algorithm> {
    match (upload.record.checksum, sent) {
        (Some(asked), Some(sent)) if asked.algorithm != sent => {
            let name = |algorithm: Algorithm| algorithm.name().to_ascii_lowercase();
            let (expected, actual) = (name(asked.algorithm), name(sent));
            Err(Error::request(format!(
                "Checksum Type mismatch occurred, expected checksum Type: {expected}, actual \
                 checksum Type: {actual}"
            )))
        }
        (Some(asked), _) => Ok(asked.algorithm),
        (None, _) => Ok(checksum::DEFAULT),
    }
}

pub fn check_upload_key(upload: &Upload, customer: Option<&CustomerKey>) -> Result<()> {
    let record = ObjectRecord {
        customer_key_md5: upload.record.customer_key_md5.clone(),
        ..ObjectRecord::marker("")
    };
    match (&record.customer_key_md5, customer) {
        (Some(_), None) => Err(Error::request(
            "The multipart upload initiate requested encryption. Subsequent part requests must \
             include the appropriate encryption parameters.",
        )),
        (None, Some(_)) => Err(Error::request(
            "The multipart upload initiate did not request encryption with customer provided keys. \
             Please resend the request without sending encryption parameters.",
        )),
        _ if check_customer(&record, customer).is_err() => Err(Error::request(
            "The provided encryption parameters did not match the ones used originally.",
        )),
        _ => Ok(()),
    }
}

/// What the request says of the whole has to be so.
fn check_whole(
    upload: &Upload,
    whole: &mut Whole,
    input: &CompleteMultipartUploadRequest,
) -> Result<()> {
    if let Some(size) = input.mpu_object_size
        && u64::try_from(size) != Ok(whole.size)
    {
        let message = format!(
            "The provided 'x-amz-mp-object-size' header value {size} does not match what was \
             computed: {}",
            whole.size
        );
        return Err(Error::request(message));
    }
    let asked = upload.record.checksum;
    if let Some(given) = input.checksum_type.as_deref() {
        let expected = kind(asked.is_some_and(|asked| asked.is_composite));
        if given != expected {
            let message = format!(
                "The upload was created using the {expected} checksum mode. The complete request \
                 must use the same checksum mode."
            );
            return Err(Error::request(message));
        }
    }
    if upload.record.customer_key_md5.is_some() && asked.is_none() {
        whole.checksum = None;
    }
    let Some((algorithm, value)) = given_checksum!(input) else {
        return Ok(());
    };
    let known = whole.checksum.as_ref();
    let known = known.filter(|known| known.algorithm == algorithm);
    match known.is_none_or(|known| known.value == value) {
        true => Ok(()),
        false => Err(Error::new(
            Code::BadDigest,
            format!(
                "The {} you specified did not match the calculated checksum.",
                algorithm.name().to_ascii_lowercase()
            ),
        )),
    }
}

fn object_of(upload: &Upload, whole: &Whole) -> ObjectRecord {
    let record = upload.record.clone();
    ObjectRecord {
        etag: whole.etag.clone(),
        checksum: whole.checksum.clone(),
        parts: u32::try_from(whole.parts.len()).ok(),
        headers: record.headers,
        metadata: record.metadata,
        storage_class: record.storage_class,
        tags: record.tags,
        acl: record.acl,
        retention: record.retention,
        legal_hold: record.legal_hold,
        customer_key_md5: record.customer_key_md5,
        ..ObjectRecord::marker(&record.initiator)
    }
}

fn is_number(number: i64) -> bool {
    (1..=limits::PART_NUMBER_MAX).contains(&number)
}

fn bad_number(number: i64) -> Error {
    let message = "Part number must be an integer between 1 and 10000, inclusive";
    Error::argument(message, "partNumber", number.to_string())
}

pub fn check_number(number: i32) -> Result<()> {
    match is_number(i64::from(number)) {
        true => Ok(()),
        false => Err(bad_number(i64::from(number))),
    }
}
