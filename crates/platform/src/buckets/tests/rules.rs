//! What buckets' configurations do: policies, locks, lifecycles, notifications.

use jiff::{Timestamp, ToSpan};
use wire::s3::{self, S3};

use super::{ACCOUNT, BUCKET, World, context, refusal};

#[tokio::test]
async fn another_account_gets_in_by_the_policy_and_not_into_a_public_one_that_is_shut() {
    let mut world = World::new().await;
    world.put("open/a", "x").await;
    world.cx = context("111122223333");
    assert_eq!(refusal(world.get("open/a").await), "AccessDenied");
    world.cx = context(ACCOUNT);
    let policy = |principal: &str| {
        format!(
            r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow",
                "Principal": {principal}, "Action": "s3:GetObject",
                "Resource": "arn:aws:s3:::{BUCKET}/open/*"}}]}}"#
        )
    };
    let put = |text: String| s3::PutBucketPolicyRequest {
        bucket: BUCKET.into(),
        policy: text,
        ..Default::default()
    };
    let public = put(policy("\"*\""));
    let refused = world.buckets.put_bucket_policy(&world.cx, public).await;
    assert_eq!(refusal(refused), "AccessDenied", "the public is shut out");
    let theirs = put(policy(r#"{"AWS": "111122223333"}"#));
    let set = world.buckets.put_bucket_policy(&world.cx, theirs).await;
    set.expect("it is set");
    world.put("closed", "x").await;
    world.cx = context("111122223333");
    assert_eq!(world.get("open/a").await.expect("it is allowed").1, b"x");
    assert_eq!(refusal(world.get("closed").await), "AccessDenied");
    // Whether it is there is not told.
    assert_eq!(refusal(world.get("open/none").await), "AccessDenied");
    let put = world.try_put("open/b", "x", |_| {}).await;
    assert_eq!(refusal(put), "AccessDenied");
}

/// Also where it would not be done even if it were right.
#[tokio::test]
async fn what_a_configuration_says_wrong_is_told_first() {
    let mut world = World::new().await;
    let policy = s3::PutBucketPolicyRequest {
        bucket: BUCKET.into(),
        ..Default::default()
    };
    let put = world.buckets.put_bucket_policy(&world.cx, policy).await;
    assert_eq!(refusal(put), "MalformedPolicy");
    world.cx.region = "eu-west-1".into();
    let far = s3::CreateBucketRequest {
        bucket: "far".into(),
        create_bucket_configuration: Some(s3::CreateBucketConfiguration {
            location_constraint: Some("eu-west-1".into()),
            ..Default::default()
        }),
        ..Default::default()
    };
    let made = world.buckets.create_bucket(&world.cx, far).await;
    made.expect("it is made");
    for (target, expect) in [
        ("nowhere", "InvalidTargetBucketForLogging"),
        ("far", "CrossLocationLoggingProhibitted"),
        (BUCKET, "NotImplemented"),
    ] {
        let input = s3::PutBucketLoggingRequest {
            bucket: BUCKET.into(),
            bucket_logging_status: s3::BucketLoggingStatus {
                logging_enabled: Some(s3::LoggingEnabled {
                    target_bucket: target.into(),
                    ..Default::default()
                }),
            },
            ..Default::default()
        };
        let put = world.buckets.put_bucket_logging(&world.cx, input).await;
        assert_eq!(refusal(put), expect, "{target}");
    }
}

#[tokio::test]
async fn what_is_locked_stays_until_its_time() {
    let mut world = World::new().await;
    let input = s3::CreateBucketRequest {
        bucket: "locked".into(),
        object_lock_enabled_for_bucket: Some(true),
        ..Default::default()
    };
    world
        .buckets
        .create_bucket(&world.cx, input)
        .await
        .expect("it is made");
    let until = Timestamp::now() + 1.hour();
    let put = world.try_put("thing", "x", |input| {
        input.bucket = "locked".into();
        input.object_lock_mode = Some("GOVERNANCE".into());
        input.object_lock_retain_until_date = Some(until);
    });
    let version_id = put.await.expect("it is put").version_id;
    let delete = |bypass: bool| s3::DeleteObjectRequest {
        bucket: "locked".into(),
        key: "thing".into(),
        version_id: version_id.clone(),
        bypass_governance_retention: Some(bypass),
        ..Default::default()
    };
    let refused = world.buckets.delete_object(&world.cx, delete(false)).await;
    assert_eq!(refusal(refused), "AccessDenied");
    world.cx.now = until + 1.second();
    let deleted = world.buckets.delete_object(&world.cx, delete(false)).await;
    deleted.expect("its time is over");
    let put = world.try_put("other", "x", |input| {
        input.object_lock_legal_hold_status = Some("ON".into());
    });
    assert_eq!(
        refusal(put.await),
        "InvalidRequest",
        "the bucket has no lock"
    );
}

#[tokio::test]
async fn lifecycles_remove_what_is_due() {
    let world = World::new().await;
    world.put("logs/a", "x").await;
    world.put("kept", "x").await;
    let upload = s3::CreateMultipartUploadRequest {
        bucket: BUCKET.into(),
        key: "logs/big".into(),
        ..Default::default()
    };
    let begun = world
        .buckets
        .create_multipart_upload(&world.cx, upload)
        .await;
    begun.expect("it is begun");
    let rule = s3::LifecycleRule {
        id: Some("logs".into()),
        status: "Enabled".into(),
        filter: Some(s3::LifecycleRuleFilter {
            prefix: Some("logs/".into()),
            ..Default::default()
        }),
        expiration: Some(s3::LifecycleExpiration {
            days: Some(1),
            ..Default::default()
        }),
        abort_incomplete_multipart_upload: Some(s3::AbortIncompleteMultipartUpload {
            days_after_initiation: Some(1),
        }),
        ..Default::default()
    };
    let input = s3::PutBucketLifecycleConfigurationRequest {
        bucket: BUCKET.into(),
        lifecycle_configuration: Some(s3::BucketLifecycleConfiguration { rules: vec![rule] }),
        ..Default::default()
    };
    let set = world
        .buckets
        .put_bucket_lifecycle_configuration(&world.cx, input)
        .await;
    set.expect("it is set");
    let shown = world.get("logs/a").await.expect("it is there").0.expiration;
    assert!(shown.expect("it is told").contains("rule-id=\"logs\""));
    let now = Timestamp::now();
    world.buckets.run_lifecycles(now).await.expect("it runs");
    assert_eq!(world.keys().await, ["kept", "logs/a"]);
    world
        .buckets
        .run_lifecycles(now + 49.hours())
        .await
        .expect("it runs");
    assert_eq!(world.keys().await, ["kept"]);
    let input = s3::ListMultipartUploadsRequest {
        bucket: BUCKET.into(),
        ..Default::default()
    };
    let uploads = world.buckets.list_multipart_uploads(&world.cx, input).await;
    assert_eq!(uploads.expect("they are listed").uploads, None);
}

#[tokio::test]
async fn a_queue_is_told_of_what_it_asked_for() {
    let world = World::new().await;
    // What is told stays where it can be looked at.
    world.background.stop();
    let arn = format!("arn:aws:sqs:us-east-1:{ACCOUNT}:told");
    let queue = s3::QueueConfiguration {
        id: Some("images".into()),
        queue_arn: arn.clone(),
        events: vec![
            "s3:ObjectCreated:*".into(),
            "s3:ObjectRemoved:Delete".into(),
        ],
        filter: Some(s3::NotificationConfigurationFilter {
            key: Some(s3::S3KeyFilter {
                filter_rules: Some(vec![s3::FilterRule {
                    name: Some("suffix".into()),
                    value: Some(".jpg".into()),
                }]),
            }),
        }),
    };
    let input = |skip: bool| s3::PutBucketNotificationConfigurationRequest {
        bucket: BUCKET.into(),
        notification_configuration: s3::NotificationConfiguration {
            queue_configurations: Some(vec![queue.clone()]),
            ..Default::default()
        },
        skip_destination_validation: Some(skip),
        ..Default::default()
    };
    let put = world
        .buckets
        .put_bucket_notification_configuration(&world.cx, input(false));
    let refused = put.await.expect_err("there is no such queue");
    assert_eq!(refused.code, "InvalidArgument");
    assert!(
        refused
            .members
            .iter()
            .any(|(name, _)| *name == "ArgumentValue1")
    );
    let put = world
        .buckets
        .put_bucket_notification_configuration(&world.cx, input(true));
    put.await.expect("it is set");
    world.put("a b.jpg", "x").await;
    world.put("a.txt", "x").await;
    world.delete("a b.jpg", None).await;
    let told = told(&world).await;
    let of = |at: usize, pointer: &str| told[at].pointer(pointer).cloned().unwrap_or_default();
    assert_eq!(told.len(), 2);
    assert_eq!(of(0, "/Records/0/eventName"), "ObjectCreated:Put");
    assert_eq!(of(0, "/Records/0/s3/object/key"), "a+b.jpg");
    assert_eq!(of(0, "/Records/0/s3/object/size"), 1);
    assert_eq!(of(1, "/Records/0/eventName"), "ObjectRemoved:Delete");
    let sequencer = |at| of(at, "/Records/0/s3/object/sequencer").to_string();
    assert!(sequencer(0) < sequencer(1));
}

/// What waits to be handed to the deliveries.
async fn told(world: &World) -> Vec<serde_json::Value> {
    let read = world.store.read(|tx| {
        let rows = tx.query("SELECT body FROM object_events ORDER BY seq", &[])?;
        rows.iter()
            .map(|row| row.get::<String>("body"))
            .collect::<store::Result<Vec<_>>>()
    });
    let bodies = read.await.expect("they are read");
    let read = |body: &String| {
        let outgoing: serde_json::Value = serde_json::from_str(body).expect("it is JSON");
        let body = outgoing["body"].as_str().unwrap_or_default();
        serde_json::from_str(body).expect("it is JSON")
    };
    bodies.iter().map(read).collect()
}
