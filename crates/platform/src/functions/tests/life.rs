use super::*;

#[tokio::test]
async fn a_function_is_made_updated_and_deleted() {
    let world = World::new().await;
    world.executor.open.send_replace(false);
    let mut input = request("f");
    input.environment = environment(&[("A", "1")]);
    let made = world.functions.create_function(cx(), input).await.unwrap();
    assert_eq!(made.state.as_deref(), Some("Pending"));
    assert_eq!(made.state_reason_code.as_deref(), Some("Creating"));
    assert_eq!(made.last_update_status, None);
    assert_eq!((made.memory_size, made.timeout), (Some(128), Some(3)));
    assert_eq!(
        made.last_modified.as_deref(),
        Some("2023-11-14T22:13:20.000+0000")
    );
    let pending = "The operation cannot be performed at this time. The function is currently in \
                   the following state: Pending";
    refused(
        world.invoke("f", b"1").await,
        "ResourceConflictException",
        pending,
    );
    let updated = world
        .functions
        .update_function_configuration(cx(), update("f"));
    refused(updated.await, "ResourceConflictException", pending);

    world.executor.open.send_replace(true);
    let active = world.settled("f").await;
    assert_eq!(active.state.as_deref(), Some("Active"));
    assert_eq!(active.state_reason, None);
    assert_eq!(active.last_update_status.as_deref(), Some("Successful"));
    assert_ne!(active.revision_id, made.revision_id);
    assert_eq!(
        world.invoke("f", b"{\"x\": 1}").await.unwrap(),
        "{\"x\": 1}"
    );

    world.executor.open.send_replace(false);
    let mut input = update("f");
    input.memory_size = Some(512);
    input.environment = environment(&[("B", "2")]);
    input.revision_id = active.revision_id.clone();
    let updated = world
        .functions
        .update_function_configuration(cx(), input.clone());
    let updated = updated.await.unwrap();
    assert_eq!(updated.last_update_status.as_deref(), Some("InProgress"));
    assert_eq!(updated.state.as_deref(), Some("Active"));
    input.revision_id = None;
    let during = world
        .functions
        .update_function_configuration(cx(), input.clone());
    let message = format!(
        "The operation cannot be performed at this time. An update is in progress for resource: {}",
        arn("f")
    );
    refused(during.await, "ResourceConflictException", &message);
    // The old one answers until the new one is there.
    assert_eq!(world.invoke("f", b"2").await.unwrap(), "2");
    assert_eq!(world.executor.definition("f").unwrap().memory_mb, 128);
    world.executor.open.send_replace(true);
    world.settled("f").await;
    let definition = world.executor.definition("f").unwrap();
    assert_eq!(definition.memory_mb, 512);
    assert_eq!(definition.environment, [("B".to_owned(), "2".to_owned())]);

    input.revision_id = active.revision_id;
    let stale = world
        .functions
        .update_function_configuration(cx(), input)
        .await;
    assert_eq!(stale.unwrap_err().code, "PreconditionFailedException");

    let code = api::UpdateFunctionCodeRequest {
        function_name: "f".into(),
        zip_file: Some(zip_of(&[("bootstrap", b"#!/bin/bash\n")])),
        ..Default::default()
    };
    let updated = world
        .functions
        .update_function_code(cx(), code)
        .await
        .unwrap();
    assert_ne!(updated.code_sha256, active.code_sha256);
    world.settled("f").await;
    let newer = world.executor.definition("f").unwrap();
    assert!(newer.generation > definition.generation);
    let script = std::fs::read(newer.code.0.join("bootstrap")).unwrap();
    assert_eq!(script, b"#!/bin/bash\n");

    let delete = api::DeleteFunctionRequest {
        function_name: "f".into(),
        qualifier: None,
    };
    world
        .functions
        .delete_function(cx(), delete.clone())
        .await
        .unwrap();
    assert!(world.executor.definition("f").is_none());
    let gone = format!("Function not found: {}", arn("f"));
    let again = world.functions.delete_function(cx(), delete).await;
    refused(again, "ResourceNotFoundException", &gone);
    let invoked = world.invoke("f", b"1").await;
    refused(
        invoked,
        "ResourceNotFoundException",
        &format!("{gone}:$LATEST"),
    );
}

#[tokio::test]
async fn of_two_creates_at_once_one_wins() {
    let world = World::new().await;
    let (cx, functions) = (cx(), &world.functions);
    let (one, two) = tokio::join!(
        functions.create_function(cx, request("f")),
        functions.create_function(cx, request("f")),
    );
    assert_eq!(usize::from(one.is_ok()) + usize::from(two.is_ok()), 1);
    let lost = if one.is_ok() { two } else { one };
    refused(
        lost,
        "ResourceConflictException",
        "Function already exist: f",
    );
    let again = world.functions.create_function(cx, request("f")).await;
    refused(
        again,
        "ResourceConflictException",
        "Function already exist: f",
    );
}

#[tokio::test]
async fn what_a_crash_interrupted_is_finished() {
    let world = World::new().await;
    world.active("done").await;
    world.executor.open.send_replace(false);
    world.create("creating").await;
    let mut input = update("done");
    input.timeout = Some(9);
    let updated = world.functions.update_function_configuration(cx(), input);
    updated.await.unwrap();

    let world = world.again().await;
    assert_eq!(
        world.settled("creating").await.state.as_deref(),
        Some("Active")
    );
    let updated = world.settled("done").await;
    assert_eq!(updated.last_update_status.as_deref(), Some("Successful"));
    assert_eq!(world.executor.definition("done").unwrap().timeout_s, 9);

    // What was settled is deployed when it is called.
    let world = world.again().await;
    assert!(world.executor.definition("done").is_none());
    assert_eq!(world.invoke("done", b"7").await.unwrap(), "7");
    assert_eq!(world.executor.definition("done").unwrap().timeout_s, 9);
}

#[tokio::test]
async fn an_update_that_fails_leaves_what_served_before() {
    let world = World::new().await;
    world.active("f").await;
    *world.executor.fail.lock().unwrap() = Some("no bootstrap".into());
    let mut input = update("f");
    input.timeout = Some(9);
    let updated = world.functions.update_function_configuration(cx(), input);
    updated.await.unwrap();
    let failed = world.settled("f").await;
    assert_eq!(failed.state.as_deref(), Some("Active"));
    assert_eq!(failed.last_update_status.as_deref(), Some("Failed"));
    assert_eq!(
        failed.last_update_status_reason.as_deref(),
        Some("no bootstrap")
    );
    assert_eq!(failed.timeout, Some(9));
    assert_eq!(world.executor.definition("f").unwrap().timeout_s, 3);
    let world = world.again().await;
    world.invoke("f", b"1").await.unwrap();
    assert_eq!(world.executor.definition("f").unwrap().timeout_s, 3);

    *world.executor.fail.lock().unwrap() = Some("no bootstrap".into());
    world.create("g").await;
    let failed = world.settled("g").await;
    assert_eq!(failed.state.as_deref(), Some("Failed"));
    assert_eq!(failed.state_reason.as_deref(), Some("no bootstrap"));
    let invoked = world.invoke("g", b"1").await.unwrap_err();
    assert!(invoked.message.ends_with("following state: Failed"));
}

#[tokio::test]
async fn variables_are_not_readable_at_rest() {
    let world = World::new().await;
    let mut input = request("f");
    input.environment = environment(&[("PASSWORD", "tr0ub4dor-and-3")]);
    world.functions.create_function(cx(), input).await.unwrap();
    let shown = world.settled("f").await.environment.unwrap();
    assert_eq!(shown.variables.unwrap()["PASSWORD"], "tr0ub4dor-and-3");
    let world = world.again().await;
    for entry in std::fs::read_dir(world.dir.path().join("store")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let holds = |word: &[u8]| bytes.windows(word.len()).any(|w| w == word);
        assert!(!holds(b"tr0ub4dor") && !holds(b"PASSWORD"));
    }
    let shown = world.configuration("f").await.environment.unwrap();
    assert_eq!(shown.variables.unwrap()["PASSWORD"], "tr0ub4dor-and-3");
}

#[tokio::test]
async fn lists_come_in_pages() {
    let world = World::new().await;
    for name in ["c", "a", "b"] {
        world.create(name).await;
    }
    let mut names = Vec::new();
    let mut input = api::ListFunctionsRequest {
        max_items: Some(2),
        function_version: Some("ALL".into()),
        ..Default::default()
    };
    loop {
        let page = world
            .functions
            .list_functions(cx(), input.clone())
            .await
            .unwrap();
        for function in page.functions.unwrap() {
            assert_eq!(function.state, None);
            names.push(function.function_arn.unwrap());
        }
        let Some(next) = page.next_marker else { break };
        input.marker = Some(next);
    }
    let all = ["a", "b", "c"].map(|name| format!("{}:$LATEST", arn(name)));
    assert_eq!(names, all);
    let settings = world
        .functions
        .get_account_settings(cx(), Default::default())
        .await
        .unwrap();
    assert_eq!(settings.account_usage.unwrap().function_count, Some(3));
}

#[tokio::test]
async fn the_package_can_be_fetched_by_its_link() {
    let world = World::new().await;
    world.active("f").await;
    let input = api::GetFunctionRequest {
        function_name: "f:$LATEST".into(),
        qualifier: None,
    };
    let got = world.functions.get_function(cx(), input).await.unwrap();
    let shown = got.configuration.unwrap();
    assert_eq!(shown.function_arn, Some(format!("{}:$LATEST", arn("f"))));
    let location = got.code.unwrap().location.unwrap();
    let token = location
        .strip_prefix("http://127.0.0.1:4566/_lambent/code/")
        .unwrap();
    let blob = world.functions.linked_package(token, cx().now).unwrap();
    let blobs = BlobStore::open(world.dir.path().join("blobs"))
        .await
        .unwrap();
    let zip = blobs.get(blob, 1 << 20).await.unwrap();
    assert_eq!(zip, request("f").code.zip_file.unwrap());
}

#[tokio::test]
async fn an_invocation_goes_on_with_the_callers_trace() {
    let world = World::new().await;
    world.active("f").await;
    let trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
    let traced = wire::Context {
        trace_header: Some(trace.to_owned()),
        ..cx().clone()
    };
    let input = api::InvocationRequest {
        function_name: "f".into(),
        ..Default::default()
    };
    world.functions.invoke(&traced, input).await.unwrap();
    let last = world.executor.last.lock().unwrap().take().unwrap();
    let seen = last.trace_id.unwrap();
    let lineage = seen.strip_prefix(trace).unwrap();
    assert!(
        lineage.starts_with(";Lineage=") && lineage.ends_with(":1"),
        "{seen}"
    );
}
