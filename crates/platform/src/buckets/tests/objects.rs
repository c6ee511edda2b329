//! Objects put, read and removed.

use wire::s3::{self, S3};

use super::{BUCKET, World, noise, refusal};

#[tokio::test]
async fn objects_of_all_sizes_come_back_whole_and_in_ranges() {
    let world = World::new().await;
    for len in [0, 1, 16_384, 16_385, 65_536, 600_000, 1_500_001] {
        let bytes = noise(len);
        let put = world.put("thing", bytes.clone()).await;
        let (got, body) = world.get("thing").await.expect("it is there");
        assert_eq!(body, bytes, "{len}");
        assert_eq!(got.content_length, Some(len as i64));
        assert_eq!(got.e_tag, put.e_tag);
        if len > 100 {
            let range = format!("bytes={}-{}", len / 3, len - 2);
            let part = world
                .try_get("thing", |input| input.range = Some(range))
                .await;
            let (part, body) = part.expect("it is there");
            assert_eq!(body, bytes[len / 3..len - 1], "{len}");
            let expect = format!("bytes {}-{}/{len}", len / 3, len - 2);
            assert_eq!(part.content_range, Some(expect));
        }
    }
    let gone = world.try_get("thing", |input| input.range = Some("bytes=9000000-".into()));
    assert_eq!(refusal(gone.await), "InvalidRange");
}

#[tokio::test]
async fn files_go_with_the_last_object_that_is_in_them() {
    let world = World::new().await;
    world.put("a", noise(100_000)).await;
    world.put("b", noise(100_000)).await;
    assert_eq!(world.files(), 2, "no two contents are encrypted alike");
    world.put("a", noise(200_000)).await;
    world.delete("b", None).await;
    world.buckets.collect().await.expect("it is collected");
    assert_eq!(world.files(), 1);
    assert_eq!(world.get("a").await.expect("it is there").1.len(), 200_000);
    assert_eq!(refusal(world.get("b").await), "NoSuchKey");
}

#[tokio::test]
async fn what_was_put_is_there_after_a_restart() {
    let world = World::new().await;
    world.put("small", "here").await;
    world.put("large", noise(100_000)).await;
    let world = world.restarted().await;
    assert_eq!(world.get("small").await.expect("it is there").1, b"here");
    assert_eq!(
        world.get("large").await.expect("it is there").1,
        noise(100_000)
    );
    assert_eq!(world.keys().await, ["large", "small"]);
}

#[tokio::test]
async fn of_two_that_put_what_must_not_be_there_one_wins() {
    let world = World::new().await;
    let put = |body: &'static str| {
        world.try_put("thing", body, |input| {
            input.if_none_match = Some("*".into())
        })
    };
    let (one, two) = tokio::join!(put("one"), put("two"));
    assert_eq!([&one, &two].iter().filter(|put| put.is_ok()).count(), 1);
    let lost = if one.is_err() { one } else { two };
    assert_eq!(refusal(lost), "PreconditionFailed");
    let matching = world.try_put("thing", "x", |input| input.if_match = Some("\"x\"".into()));
    assert_eq!(refusal(matching.await), "PreconditionFailed");
}

#[tokio::test]
async fn versions_are_kept_and_come_back() {
    let world = World::new().await;
    world.put("thing", "first").await;
    versioning(&world, "Enabled").await;
    let second = world.put("thing", "second").await.version_id;
    let marker = world.delete("thing", None).await;
    assert_eq!(marker.delete_marker, Some(true));
    assert_eq!(refusal(world.get("thing").await), "NoSuchKey");
    assert_eq!(world.keys().await, [""; 0]);
    let old = world.try_get("thing", |input| input.version_id = Some("null".into()));
    assert_eq!(old.await.expect("it is there").1, b"first");
    let of_marker = |input: &mut s3::GetObjectRequest| input.version_id = marker.version_id.clone();
    let refused = world.try_get("thing", of_marker).await;
    assert_eq!(refusal(refused), "MethodNotAllowed");
    // Without the marker the version before it is current again.
    world.delete("thing", marker.version_id.as_deref()).await;
    assert_eq!(world.get("thing").await.expect("it is there").1, b"second");
    versioning(&world, "Suspended").await;
    let third = world.put("thing", "third").await;
    // S3 does not say the id that such a version has.
    assert_eq!(third.version_id, None);
    let listed = listed(&world).await;
    assert_eq!(
        listed,
        [("null".to_owned(), true), (second.expect("an id"), false)]
    );
}

#[tokio::test]
async fn a_bucket_with_objects_stays() {
    let world = World::new().await;
    world.put("thing", "x").await;
    let input = || s3::DeleteBucketRequest {
        bucket: BUCKET.to_owned(),
        ..Default::default()
    };
    let deleted = world.buckets.delete_bucket(&world.cx, input()).await;
    assert_eq!(refusal(deleted), "BucketNotEmpty");
    world.delete("thing", None).await;
    let deleted = world.buckets.delete_bucket(&world.cx, input()).await;
    deleted.expect("it is deleted");
    let put = world.try_put("thing", "x", |_| {}).await;
    assert_eq!(refusal(put), "NoSuchBucket");
}

async fn versioning(world: &World, status: &str) {
    let input = s3::PutBucketVersioningRequest {
        bucket: BUCKET.to_owned(),
        versioning_configuration: s3::VersioningConfiguration {
            status: Some(status.to_owned()),
            mfa_delete: None,
        },
        ..Default::default()
    };
    let put = world.buckets.put_bucket_versioning(&world.cx, input).await;
    put.expect("it is set");
}

async fn listed(world: &World) -> Vec<(String, bool)> {
    let input = s3::ListObjectVersionsRequest {
        bucket: BUCKET.to_owned(),
        ..Default::default()
    };
    let listed = world.buckets.list_object_versions(&world.cx, input).await;
    let versions = listed.expect("it is listed").versions.unwrap_or_default();
    let shown = |version: s3::ObjectVersion| {
        let id = version.version_id.unwrap_or_default();
        (id, version.is_latest == Some(true))
    };
    versions.into_iter().map(shown).collect()
}
