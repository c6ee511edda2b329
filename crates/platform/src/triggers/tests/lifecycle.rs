//! The API from create to delete.

use super::*;

fn idle() -> Arc<Closure> {
    Closure::new(async |_| Ok("null".into()))
}

#[tokio::test]
async fn a_mapping_goes_through_its_states() {
    let world = World::new(&idle()).await;
    world.queue("q", |_| {}).await;
    let mappings = &world.parts.mappings;
    let made = mappings
        .create_event_source_mapping(&cx(), request("q"))
        .await
        .unwrap();
    let uuid = made.uuid.clone().unwrap();
    assert_eq!(made.state.as_deref(), Some("Creating"));
    assert_eq!(
        made.state_transition_reason.as_deref(),
        Some("USER_INITIATED")
    );
    assert_eq!(
        made.function_arn.unwrap(),
        format!("arn:aws:lambda:us-east-1:{ACCOUNT}:function:f")
    );
    assert_eq!(made.function_response_types, Some(vec![]));
    assert_eq!(
        (made.batch_size, made.maximum_batching_window_in_seconds),
        (Some(10), Some(0))
    );
    assert_eq!(made.last_processing_result, None);
    world.state(&uuid, "Enabled").await;

    let updated = world.update(&uuid, |input| {
        input.batch_size = Some(100);
        input.maximum_batching_window_in_seconds = Some(1);
        input.function_response_types = Some(vec!["ReportBatchItemFailures".into()]);
    });
    let updated = updated.await;
    assert_eq!(updated.state.as_deref(), Some("Updating"));
    assert_eq!(updated.batch_size, Some(100));
    world.state(&uuid, "Enabled").await;

    let disabled = world
        .update(&uuid, |input| input.enabled = Some(false))
        .await;
    assert_eq!(disabled.state.as_deref(), Some("Disabling"));
    world.state(&uuid, "Disabled").await;
    let enabled = world
        .update(&uuid, |input| input.enabled = Some(true))
        .await;
    assert_eq!(enabled.state.as_deref(), Some("Enabling"));
    assert_eq!(enabled.batch_size, Some(100));
    world.state(&uuid, "Enabled").await;

    let input = api::DeleteEventSourceMappingRequest { uuid: uuid.clone() };
    let deleted = mappings
        .delete_event_source_mapping(&cx(), input)
        .await
        .unwrap();
    assert_eq!(deleted.state.as_deref(), Some("Deleting"));
    until(async || world.get(&uuid).await.is_err()).await;
    let gone = world.get(&uuid).await.unwrap_err();
    assert_eq!(
        (gone.code, gone.status.as_u16()),
        ("ResourceNotFoundException", 404)
    );
    assert_eq!(gone.message, "The resource you requested does not exist.");
}

#[tokio::test]
async fn mappings_are_listed_by_function_and_source_and_page_by_page() {
    let world = World::new(&idle()).await;
    world.function("g").await;
    for name in ["a", "b", "c"] {
        world.queue(name, |_| {}).await;
        world.map(name, |_| {}).await;
    }
    world
        .map("a", |input| input.function_name = "g".into())
        .await;
    let list = async |set: fn(&mut api::ListEventSourceMappingsRequest)| {
        let mut input = api::ListEventSourceMappingsRequest::default();
        set(&mut input);
        let listed = world
            .parts
            .mappings
            .list_event_source_mappings(&cx(), input)
            .await;
        listed.unwrap().event_source_mappings.unwrap().len()
    };
    assert_eq!(list(|_| {}).await, 4);
    assert_eq!(
        list(|input| input.function_name = Some("f".into())).await,
        3
    );
    assert_eq!(
        list(|input| input.function_name = Some("none".into())).await,
        0
    );
    assert_eq!(
        list(|input| input.event_source_arn = Some(key("a").arn().to_string())).await,
        2
    );

    let (mut marker, mut seen) = (None, Vec::new());
    loop {
        let input = api::ListEventSourceMappingsRequest {
            max_items: Some(3),
            marker,
            ..Default::default()
        };
        let page = world
            .parts
            .mappings
            .list_event_source_mappings(&cx(), input)
            .await
            .unwrap();
        seen.extend(
            page.event_source_mappings
                .unwrap()
                .into_iter()
                .map(|it| it.uuid.unwrap()),
        );
        marker = page.next_marker;
        if marker.is_none() {
            break;
        }
    }
    seen.dedup();
    assert_eq!(seen.len(), 4);
}

#[tokio::test]
async fn mappings_have_tags() {
    let world = World::new(&idle()).await;
    world.queue("q", |_| {}).await;
    let tags = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    let uuid = world
        .map("q", |input| {
            input.tags = Some(tags(&[("a", "1"), ("b", "2")]))
        })
        .await;
    let arn = world
        .get(&uuid)
        .await
        .unwrap()
        .event_source_mapping_arn
        .unwrap();
    assert_eq!(
        arn,
        format!("arn:aws:lambda:us-east-1:{ACCOUNT}:event-source-mapping:{uuid}")
    );
    let mappings = &world.parts.mappings;
    let tagging = api::TagResourceRequest {
        resource: arn.clone(),
        tags: tags(&[("c", "3")]),
    };
    mappings.tag_resource(&cx(), tagging).await.unwrap();
    let untagging = api::UntagResourceRequest {
        resource: arn.clone(),
        tag_keys: vec!["a".into()],
    };
    mappings.untag_resource(&cx(), untagging).await.unwrap();
    let held = async |resource: String| {
        let input = api::ListTagsRequest { resource };
        mappings
            .list_tags(&cx(), input)
            .await
            .map(|tags| tags.tags.unwrap())
    };
    assert_eq!(
        held(arn.clone()).await.unwrap(),
        tags(&[("b", "2"), ("c", "3")])
    );
    let other = arn.replace(&uuid, "00000000-0000-0000-0000-000000000000");
    assert_eq!(
        held(other).await.unwrap_err().code,
        "ResourceNotFoundException"
    );
    // Those of functions are asked of the functions.
    let function = format!("arn:aws:lambda:us-east-1:{ACCOUNT}:function:f");
    assert!(held(function).await.unwrap().is_empty());
    // A tag changes neither the mapping nor its state.
    assert_eq!(
        world.get(&uuid).await.unwrap().state.as_deref(),
        Some("Enabled")
    );
}

#[tokio::test]
async fn what_cannot_be_is_refused_in_lambdas_words() {
    let world = World::new(&idle()).await;
    world.queue("q", |_| {}).await;
    world
        .queue("short", |attributes| attributes.visibility_timeout_s = 2)
        .await;
    world.queue("q.fifo", |_| {}).await;
    let refused = async |queue: &str, set: fn(&mut api::CreateEventSourceMappingRequest)| {
        let mut input = request(queue);
        set(&mut input);
        let made = world
            .parts
            .mappings
            .create_event_source_mapping(&cx(), input)
            .await;
        let error = made.unwrap_err();
        assert_eq!(error.code, "InvalidParameterValueException");
        error.message.clone()
    };
    for (queue, set, message) in [
        (
            "q",
            (|input| input.event_source_arn = None)
                as fn(&mut api::CreateEventSourceMappingRequest),
            "Unrecognized event source.",
        ),
        (
            "q",
            |input| input.function_name = "none".into(),
            "Function does not exist",
        ),
        ("none", |_| {}, super::super::create::NO_QUEUE),
        (
            "short",
            |_| {},
            "Queue visibility timeout: 2 seconds is less than Function timeout: 3 seconds",
        ),
        (
            "q",
            |input| input.batch_size = Some(11),
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10",
        ),
        (
            "q.fifo",
            |input| input.maximum_batching_window_in_seconds = Some(1),
            "Batching window is not supported for FIFO queues",
        ),
        (
            "none",
            |input| {
                input.function_name = "none".into();
                let destination = Some("arn:aws:sqs:us-east-1:111111111111:other".into());
                let on_success = Some(api::OnSuccess { destination });
                input.destination_config = Some(api::DestinationConfig {
                    on_success,
                    on_failure: None,
                });
            },
            "Unsupported DestinationConfig parameter for given event source mapping type.",
        ),
        (
            "q",
            |input| {
                let pattern = Some(r#"{"eventSource": "aws:sqs"}"#.into());
                let filters = Some(vec![api::Filter { pattern }]);
                input.filter_criteria = Some(api::FilterCriteria { filters });
            },
            "Invalid filter pattern definition.",
        ),
        (
            "q",
            |input| {
                input.event_source_arn =
                    Some("arn:aws:kinesis:us-east-1:111111111111:stream/s".into())
            },
            "An event source mapping of a Kinesis stream is not supported by this platform yet",
        ),
        (
            "q",
            |input| input.kms_key_arn = Some("arn:aws:kms:us-east-1:1:key/k".into()),
            "KMSKeyArn is not supported by this platform yet",
        ),
    ] {
        assert_eq!(refused(queue, set).await, message);
    }
}

#[tokio::test]
async fn a_queue_is_mapped_to_a_function_once() {
    let world = World::new(&idle()).await;
    world.queue("q", |_| {}).await;
    let uuid = world.map("q", |_| {}).await;
    let again = world
        .parts
        .mappings
        .create_event_source_mapping(&cx(), request("q"))
        .await;
    let again = again.unwrap_err();
    assert_eq!(
        (again.code, again.status.as_u16()),
        ("ResourceConflictException", 409)
    );
    let arn = key("q").arn();
    assert_eq!(
        again.message,
        format!(
            "An event source mapping with SQS arn (\" {arn} \") and function (\" f \") already \
             exists. Please update or delete the existing mapping with UUID {uuid}"
        )
    );
}
