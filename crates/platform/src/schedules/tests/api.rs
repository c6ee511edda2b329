//! What is answered, and what is refused.

use wire::scheduler::{
    CreateScheduleGroupInput, EventBridgeParameters, ListScheduleGroupsInput, ListSchedulesInput,
    ListTagsForResourceInput, Tag, TagResourceInput, UntagResourceInput, errors,
};

use super::*;

async fn refused(world: &World, set: impl FnOnce(&mut CreateScheduleInput)) -> wire::Error {
    let mut input = input("s", "rate(1 hour)");
    set(&mut input);
    let created = world.parts.schedules.create_schedule(&cx(), input).await;
    created.unwrap_err()
}

#[tokio::test]
async fn what_cannot_be_a_schedule_is_refused_by_name() {
    let world = World::new().await;
    let refused = async |set: fn(&mut CreateScheduleInput)| refused(&world, set).await;
    let invalid = |message: &str| errors::validation(message);
    assert_eq!(
        refused(|input| input.schedule_expression = "rate(10 seconds)".into()).await,
        invalid("Invalid Schedule Expression rate(10 seconds).")
    );
    assert_eq!(
        refused(|input| input.schedule_expression_timezone = Some("Mars/Base".into())).await,
        invalid("Invalid Schedule Expression Timezone Mars/Base.")
    );
    assert_eq!(
        refused(|input| input.start_date = Some("2027-03-27T23:54:00Z".parse().unwrap())).await,
        invalid("The StartDate you specify cannot be earlier than 5 minutes ago.")
    );
    assert_eq!(
        refused(|input| {
            input.start_date = Some("2027-04-02T00:00:00Z".parse().unwrap());
            input.end_date = Some("2027-04-01T00:00:00Z".parse().unwrap());
        })
        .await,
        invalid("The StartDate you specify must come before the EndDate.")
    );
    assert_eq!(
        refused(|input| input.target.arn = "queue".into()).await,
        invalid("Provided Arn is not in correct format.")
    );
    for (arn, what) in [
        (
            "arn:aws:states:us-east-1:111111111111:stateMachine:m",
            "A state machine as a target",
        ),
        (
            "arn:aws:ecs:us-east-1:111111111111:cluster/c",
            "A target of ecs",
        ),
        (
            "arn:aws:lambda:us-east-1:111111111111:function:f",
            "The target arn:aws:lambda:us-east-1:111111111111:function:f",
        ),
    ] {
        let mut input = input("s", "rate(1 hour)");
        input.target.arn = arn.into();
        input.target.input = None;
        let refused = world.parts.schedules.create_schedule(&cx(), input).await;
        let message = format!("{what} is not supported by this platform yet");
        assert_eq!(refused.unwrap_err(), invalid(&message));
    }
    assert_eq!(
        refused(|input| {
            input.target.event_bridge_parameters = Some(EventBridgeParameters::default());
        })
        .await,
        invalid("EventBridgeParameters are for a target that is an event bus.")
    );
    assert_eq!(
        refused(|input| input.group_name = Some("none".into())).await,
        errors::resource_not_found("Schedule group none does not exist.")
    );
    assert_eq!(
        refused(|input| input.kms_key_arn = Some("arn:aws:kms:…".into())).await,
        invalid("KmsKeyArn is not supported by this platform yet")
    );
}

#[tokio::test]
async fn the_same_request_again_is_answered_and_another_conflicts() {
    let world = World::new().await;
    let schedules = &world.parts.schedules;
    let request = |token: &str| CreateScheduleInput {
        client_token: Some(token.into()),
        ..input("s", "rate(1 hour)")
    };
    let create = async |input| schedules.create_schedule(&cx(), input).await;
    let made = create(request("t")).await.unwrap();
    assert_eq!(
        made.schedule_arn,
        "arn:aws:scheduler:us-east-1:111111111111:schedule/default/s"
    );
    assert_eq!(create(request("t")).await.unwrap(), made);
    let conflict = errors::conflict("Schedule s already exists.");
    assert_eq!(create(request("u")).await.unwrap_err(), conflict);
    let mut other = request("t");
    other.description = Some("other".into());
    assert_eq!(create(other).await.unwrap_err(), conflict);

    let shown = world.get("s").await.unwrap();
    assert_eq!(shown.state.as_deref(), Some("ENABLED"));
    assert_eq!(shown.schedule_expression_timezone.as_deref(), Some("UTC"));
    assert_eq!(shown.action_after_completion.as_deref(), Some("NONE"));
    let retry = shown.target.unwrap().retry_policy.unwrap();
    assert_eq!(retry.maximum_event_age_in_seconds, Some(86_400));
    assert_eq!(retry.maximum_retry_attempts, Some(185));
}

#[tokio::test]
async fn lists_come_in_pages_and_by_name_state_and_group() {
    let world = World::new().await;
    let schedules = &world.parts.schedules;
    for name in ["a1", "a2", "a3", "b1"] {
        world
            .create(name, "rate(1 hour)", |input| {
                let state = if name == "a2" { "DISABLED" } else { "ENABLED" };
                input.state = Some(state.into());
            })
            .await;
    }
    let list = async |set: fn(&mut ListSchedulesInput)| {
        let mut names = Vec::new();
        let mut input = ListSchedulesInput::default();
        set(&mut input);
        loop {
            let page = schedules
                .list_schedules(&cx(), input.clone())
                .await
                .unwrap();
            let size = usize::try_from(input.max_results.unwrap_or(100)).unwrap();
            assert!(page.schedules.len() <= size);
            names.extend(page.schedules.into_iter().map(|it| it.name.unwrap()));
            input.next_token = page.next_token;
            if input.next_token.is_none() {
                return names.join(" ");
            }
        }
    };
    assert_eq!(list(|_| {}).await, "a1 a2 a3 b1");
    assert_eq!(list(|it| it.max_results = Some(1)).await, "a1 a2 a3 b1");
    assert_eq!(list(|it| it.max_results = Some(4)).await, "a1 a2 a3 b1");
    let prefixed = list(|it| {
        it.name_prefix = Some("a".into());
        it.max_results = Some(2);
    });
    assert_eq!(prefixed.await, "a1 a2 a3");
    assert_eq!(list(|it| it.state = Some("DISABLED".into())).await, "a2");
    assert_eq!(
        list(|it| it.group_name = Some("default".into())).await,
        "a1 a2 a3 b1"
    );
    for token in ["?", "YQ", "Li4"] {
        let input = ListSchedulesInput {
            next_token: Some(token.into()),
            ..ListSchedulesInput::default()
        };
        let refused = schedules.list_schedules(&cx(), input).await.unwrap_err();
        assert_eq!(refused, errors::validation("Invalid NextToken."));
    }
}

#[tokio::test]
async fn groups_are_tagged_and_the_default_one_is_always_there() {
    let world = World::new().await;
    let schedules = &world.parts.schedules;
    let create = CreateScheduleGroupInput {
        name: "g".into(),
        tags: Some(vec![tag("a", "1")]),
        client_token: None,
    };
    let made = schedules
        .create_schedule_group(&cx(), create.clone())
        .await
        .unwrap();
    let arn = made.schedule_group_arn;
    let again = schedules
        .create_schedule_group(&cx(), create)
        .await
        .unwrap_err();
    assert_eq!(again, errors::conflict("Schedule group g already exists."));
    let tags = async || {
        let input = ListTagsForResourceInput {
            resource_arn: arn.clone(),
        };
        let listed = schedules.list_tags_for_resource(&cx(), input).await;
        listed.unwrap().tags.unwrap()
    };
    let input = TagResourceInput {
        resource_arn: arn.clone(),
        tags: vec![tag("a", "2"), tag("b", "3")],
    };
    schedules.tag_resource(&cx(), input).await.unwrap();
    assert_eq!(tags().await, [tag("a", "2"), tag("b", "3")]);
    let input = UntagResourceInput {
        resource_arn: arn.clone(),
        tag_keys: vec!["a".into()],
    };
    schedules.untag_resource(&cx(), input).await.unwrap();
    assert_eq!(tags().await, [tag("b", "3")]);
    let listed = schedules
        .list_schedule_groups(&cx(), ListScheduleGroupsInput::default())
        .await
        .unwrap();
    let names: Vec<_> = listed
        .schedule_groups
        .iter()
        .map(|group| group.name.as_deref().unwrap())
        .collect();
    assert_eq!(names, ["default", "g"]);
}

fn tag(key: &str, value: &str) -> Tag {
    Tag {
        key: key.into(),
        value: value.into(),
    }
}
