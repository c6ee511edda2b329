//! Multipart uploads and copies.

use wire::{
    Error,
    s3::{self, S3},
};

use super::{BUCKET, World, noise, refusal};
use crate::buckets::front::{S3Streams, Upload};

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn parts_become_one_object_without_being_written_again() {
    let world = World::new().await;
    let upload = begin(&world, "big").await;
    let (one, two, three) = (noise(5 * MIB), noise(5 * MIB + 7), noise(100));
    // Out of order, and one part twice.
    let third = part(&world, "big", &upload, 9, three.clone())
        .await
        .expect("it is put");
    let _ = part(&world, "big", &upload, 1, noise(3)).await;
    let first = part(&world, "big", &upload, 1, one.clone())
        .await
        .expect("it is put");
    let second = part(&world, "big", &upload, 4, two.clone())
        .await
        .expect("it is put");
    // One that the object will not have.
    let _ = part(&world, "big", &upload, 20, noise(10)).await;
    assert_eq!(refusal(world.get("big").await), "NoSuchKey");
    let done = complete(
        &world,
        "big",
        &upload,
        &[(1, &first), (4, &second), (9, &third)],
    )
    .await;
    let done = done.expect("it is completed");
    assert!(done.e_tag.expect("it has one").ends_with("-3\""));
    let whole = [one, two, three].concat();
    assert_eq!(world.get("big").await.expect("it is there").1, whole);
    let range = "bytes=5242870-10485770".to_owned();
    let part = world
        .try_get("big", |input| input.range = Some(range))
        .await;
    assert_eq!(part.expect("it is there").1, whole[5_242_870..=10_485_770]);
    let by_number = world
        .try_get("big", |input| input.part_number = Some(4))
        .await;
    let (output, body) = by_number.expect("it is there");
    assert_eq!((output.parts_count, body.len()), (Some(3), 5 * MIB + 7));
    world.buckets.collect().await.expect("it is collected");
    assert_eq!(world.files(), 3, "the parts that are the object's");
    // A copy shares them, whatever becomes of what it is of.
    let copied = copy(&world, "big", "copy").await.expect("it is copied");
    let etag = copied.copy_object_result.expect("it is told").e_tag;
    assert!(
        !etag.expect("it has one").contains('-'),
        "a copy was not uploaded in parts"
    );
    assert_eq!(world.files(), 3);
    world.delete("big", None).await;
    world.buckets.collect().await.expect("it is collected");
    assert_eq!(world.get("copy").await.expect("it is there").1, whole);
    world.delete("copy", None).await;
    world.buckets.collect().await.expect("it is collected");
    assert_eq!(world.files(), 0);
}

#[tokio::test]
async fn what_does_not_make_an_object_is_refused() {
    let world = World::new().await;
    let upload = begin(&world, "big").await;
    let small = part(&world, "big", &upload, 1, noise(10))
        .await
        .expect("it is put");
    let last = part(&world, "big", &upload, 2, noise(10))
        .await
        .expect("it is put");
    let none = String::from("\"none\"");
    for (parts, expect) in [
        (vec![(1, &small), (2, &last)], "EntityTooSmall"),
        (vec![(2, &last), (1, &small)], "InvalidPartOrder"),
        (vec![(1, &none)], "InvalidPart"),
        (vec![(3, &last)], "InvalidPart"),
        (vec![], "MalformedXML"),
    ] {
        let completed = complete(&world, "big", &upload, &parts).await;
        assert_eq!(refusal(completed), expect);
    }
    let abort = s3::AbortMultipartUploadRequest {
        bucket: BUCKET.into(),
        key: "big".into(),
        upload_id: upload.clone(),
        ..Default::default()
    };
    let aborted = world.buckets.abort_multipart_upload(&world.cx, abort).await;
    aborted.expect("it is aborted");
    let put = part(&world, "big", &upload, 1, noise(10)).await;
    assert_eq!(refusal(put), "NoSuchUpload");
    world.buckets.collect().await.expect("it is collected");
    assert_eq!(world.files(), 0);
}

#[tokio::test]
async fn a_customers_key_reads_its_objects_and_no_other() {
    let world = World::new().await;
    let key = |byte: u8| {
        use base64::{Engine, prelude::BASE64_STANDARD};
        use md5::{Digest, Md5};
        let bytes = [byte; 32];
        let md5 = BASE64_STANDARD.encode(Md5::digest(bytes));
        (BASE64_STANDARD.encode(bytes), md5)
    };
    let put = world.try_put("secret", noise(100_000), |input| {
        let (key, md5) = key(1);
        input.sse_customer_algorithm = Some("AES256".into());
        input.sse_customer_key = Some(key);
        input.sse_customer_key_md5 = Some(md5);
    });
    put.await.expect("it is put");
    let get = |byte: u8| {
        world.try_get("secret", move |input| {
            let (key, md5) = key(byte);
            input.sse_customer_algorithm = Some("AES256".into());
            input.sse_customer_key = Some(key);
            input.sse_customer_key_md5 = Some(md5);
        })
    };
    assert_eq!(get(1).await.expect("it is there").1, noise(100_000));
    assert_eq!(refusal(get(2).await), "AccessDenied");
    assert_eq!(refusal(world.get("secret").await), "InvalidRequest");
}

/// As S3 does: what is told of one part is its own checksum where the object's is made of those, and
/// else nothing.
#[tokio::test]
async fn a_part_that_is_read_has_its_own_checksum_or_none() {
    let world = World::new().await;
    for (kind, expect) in [("COMPOSITE", true), ("FULL_OBJECT", false)] {
        let input = s3::CreateMultipartUploadRequest {
            bucket: BUCKET.into(),
            key: kind.into(),
            checksum_algorithm: Some("CRC32".into()),
            checksum_type: Some(kind.into()),
            ..Default::default()
        };
        let begun = world.buckets.create_multipart_upload(&world.cx, input);
        let upload = begun.await.expect("it is begun").upload_id;
        let upload = upload.expect("it has an id");
        let put = s3::UploadPartRequest {
            bucket: BUCKET.into(),
            key: kind.into(),
            upload_id: upload.clone(),
            part_number: 1,
            ..Default::default()
        };
        let put = world
            .buckets
            .upload_part_stream(&world.cx, put, Upload::of("abc"));
        let put = put.await.expect("it is put");
        let named = |with: &dyn Fn(&mut s3::CompletedPart)| {
            let mut part = s3::CompletedPart {
                part_number: Some(1),
                e_tag: put.e_tag.clone(),
                ..Default::default()
            };
            with(&mut part);
            s3::CompleteMultipartUploadRequest {
                bucket: BUCKET.into(),
                key: kind.into(),
                upload_id: upload.clone(),
                multipart_upload: Some(s3::CompletedMultipartUpload {
                    parts: Some(vec![part]),
                }),
                ..Default::default()
            }
        };
        if expect {
            let other = named(&|part| part.checksum_sha1 = Some("AAAA".into()));
            let refused = world
                .buckets
                .complete_multipart_upload(&world.cx, other)
                .await;
            assert_eq!(refusal(refused), "BadDigest", "of another algorithm");
        }
        let right = named(&|part| part.checksum_crc32 = put.checksum_crc32.clone());
        let completed = world
            .buckets
            .complete_multipart_upload(&world.cx, right)
            .await;
        completed.expect("it is completed");
        let (read, body) = world
            .try_get(kind, |input| {
                input.part_number = Some(1);
                input.checksum_mode = Some("ENABLED".into());
            })
            .await
            .expect("it is read");
        assert_eq!((body.as_slice(), read.parts_count), (&b"abc"[..], Some(1)));
        assert_eq!(
            read.checksum_crc32,
            put.checksum_crc32.clone().filter(|_| expect)
        );
        assert_eq!(read.checksum_type, expect.then(|| kind.to_owned()));
    }
}

async fn begin(world: &World, key: &str) -> String {
    let input = s3::CreateMultipartUploadRequest {
        bucket: BUCKET.into(),
        key: key.into(),
        ..Default::default()
    };
    let begun = world
        .buckets
        .create_multipart_upload(&world.cx, input)
        .await;
    begun.expect("it is begun").upload_id.expect("it has an id")
}

async fn part(
    world: &World,
    key: &str,
    upload: &str,
    number: i32,
    body: Vec<u8>,
) -> Result<String, Error> {
    let input = s3::UploadPartRequest {
        bucket: BUCKET.into(),
        key: key.into(),
        upload_id: upload.into(),
        part_number: number,
        ..Default::default()
    };
    let upload = Upload::of(body);
    let put = world
        .buckets
        .upload_part_stream(&world.cx, input, upload)
        .await;
    Ok(put?.e_tag.expect("it has one"))
}

async fn complete(
    world: &World,
    key: &str,
    upload: &str,
    parts: &[(i32, &String)],
) -> Result<s3::CompleteMultipartUploadOutput, Error> {
    let parts = parts.iter().map(|(number, etag)| s3::CompletedPart {
        part_number: Some(*number),
        e_tag: Some((*etag).clone()),
        ..Default::default()
    });
    let input = s3::CompleteMultipartUploadRequest {
        bucket: BUCKET.into(),
        key: key.into(),
        upload_id: upload.into(),
        multipart_upload: Some(s3::CompletedMultipartUpload {
            parts: Some(parts.collect()),
        }),
        ..Default::default()
    };
    world
        .buckets
        .complete_multipart_upload(&world.cx, input)
        .await
}

async fn copy(world: &World, from: &str, to: &str) -> Result<s3::CopyObjectOutput, Error> {
    let input = s3::CopyObjectRequest {
        bucket: BUCKET.into(),
        key: to.into(),
        copy_source: format!("{BUCKET}/{from}"),
        ..Default::default()
    };
    world.buckets.copy_object(&world.cx, input).await
}
