use super::*;

async fn create_refused(change: impl FnOnce(&mut api::CreateFunctionRequest)) -> String {
    let world = World::new().await;
    let mut input = request("f");
    change(&mut input);
    let error = world
        .functions
        .create_function(cx(), input)
        .await
        .unwrap_err();
    assert_eq!(
        error.code, "InvalidParameterValueException",
        "{}",
        error.message
    );
    let list = world.functions.list_functions(cx(), Default::default());
    assert_eq!(list.await.unwrap().functions.unwrap().len(), 0);
    error.message.clone()
}

#[tokio::test]
async fn what_is_not_here_yet_is_refused_by_name() {
    let to = Some("LATEST_PUBLISHED".to_owned());
    let refused = create_refused(|input| input.publish_to = to).await;
    assert_eq!(
        refused,
        "Publishing to $LATEST.PUBLISHED (PublishTo) is not supported by this platform yet"
    );
    let refused = create_refused(|input| input.package_type = Some("Image".into())).await;
    assert!(refused.starts_with("Please don't provide Handler or Runtime"));
    let aws = "arn:aws:lambda:::awslayer:AmazonLinux1803";
    let refused = create_refused(|input| input.layers = Some(vec![aws.into()])).await;
    assert!(refused.starts_with("The layer arn:aws:lambda:::awslayer:AmazonLinux1803 is not"));
    let vpc = |input: &mut api::CreateFunctionRequest| {
        input.vpc_config = Some(api::VpcConfig {
            subnet_ids: Some(vec!["subnet-1".into()]),
            ..Default::default()
        });
    };
    assert!(create_refused(vpc).await.contains("VpcConfig"));
    let refused = create_refused(|input| input.runtime = Some("python3.12".into())).await;
    assert!(refused.contains("no interpreter for the runtime python3.12"));
    let version = Some("2".to_owned());
    let refused = create_refused(|input| input.code.s3_object_version = version).await;
    assert!(refused.starts_with("Code from S3"));
    // Empty lists ask for nothing.
    let world = World::new().await;
    let mut input = request("f");
    input.layers = Some(Vec::new());
    input.vpc_config = Some(api::VpcConfig {
        subnet_ids: Some(Vec::new()),
        security_group_ids: Some(Vec::new()),
        ..Default::default()
    });
    let made = world.functions.create_function(cx(), input).await.unwrap();
    assert_eq!(made.vpc_config.unwrap().vpc_id.as_deref(), Some(""));
    let replicas = api::ListFunctionsRequest {
        master_region: Some("us-east-1".into()),
        function_version: Some("ALL".into()),
        ..Default::default()
    };
    let error = world.functions.list_functions(cx(), replicas).await;
    assert!(
        error
            .unwrap_err()
            .message
            .starts_with("Lambda@Edge (MasterRegion)")
    );
}

#[tokio::test]
async fn bad_packages_and_values_are_refused_in_lambdas_words() {
    let zip = |bytes: &'static [u8]| {
        move |input: &mut api::CreateFunctionRequest| {
            input.code.zip_file = Some(Bytes::from_static(bytes));
        }
    };
    assert_eq!(
        create_refused(zip(b"no zip")).await,
        "Could not unzip uploaded file. Please check your file, then try to upload again."
    );
    let refused = create_refused(|input| {
        input.code.zip_file = Some(zip_of(&[("../../etc/passwd", b"x")]));
    });
    let refused = refused.await;
    assert!(
        refused.contains("'../../etc/passwd' leads out of the package"),
        "{refused}"
    );
    let refused = create_refused(|input| input.handler = None).await;
    assert!(refused.starts_with("Runtime and Handler are mandatory parameters"));
    let large = "x".repeat(4096);
    let refused = create_refused(|input| input.environment = environment(&[("L", &large)])).await;
    let measured = format!("exceeded the 4KB limit. String measured: {{\"L\":\"{large}\"}}");
    assert!(refused.ends_with(&measured));
    let in_order = environment(&[("SECOND", "ok"), ("FIRST", &large)]);
    let refused = create_refused(|input| input.environment = in_order).await;
    let measured = format!("String measured: {{\"SECOND\":\"ok\",\"FIRST\":\"{large}\"}}");
    assert!(refused.ends_with(&measured));
    let reserved = |input: &mut api::CreateFunctionRequest| {
        input.environment = environment(&[("AWS_REGION", "x"), ("OK", "x")]);
    };
    assert!(
        create_refused(reserved)
            .await
            .ends_with("used in this request: AWS_REGION")
    );

    let world = World::new().await;
    let mut input = request("f");
    input.timeout = Some(901);
    let error = world
        .functions
        .create_function(cx(), input)
        .await
        .unwrap_err();
    assert_eq!(error.code, "ValidationException");
    let mut input = request("f");
    input.code.zip_file = Some(Bytes::from(vec![0; 52_428_801]));
    let error = world
        .functions
        .create_function(cx(), input)
        .await
        .unwrap_err();
    assert_eq!(
        (error.code, error.status.as_u16(), error.message.as_str()),
        (
            "RequestEntityTooLargeException",
            413,
            "Zipped size must be smaller than 52428800 bytes"
        )
    );
}

#[tokio::test]
async fn invocations_are_checked_before_they_run() {
    let world = World::new().await;
    world.active("f").await;
    let functions = &world.functions;
    let ask = || api::InvocationRequest {
        function_name: "f".into(),
        ..Default::default()
    };
    let large = api::InvocationRequest {
        payload: Some(Bytes::from(vec![b' '; 6_291_457])),
        ..ask()
    };
    let message = "Request must be smaller than 6291456 bytes for the InvokeFunction operation";
    let large = functions.invoke(cx(), large).await;
    refused(large, "RequestTooLargeException", message);
    let broken = world.invoke("f", b"{").await.unwrap_err();
    assert_eq!(broken.code, "InvalidRequestContentException");
    assert!(broken.message.starts_with(
        "Could not parse request body into json: Could not parse payload into json: "
    ));
    let version = api::InvocationRequest {
        qualifier: Some("7".into()),
        ..ask()
    };
    let version = functions.invoke(cx(), version).await;
    let message = format!("Function not found: {}:7", arn("f"));
    refused(version, "ResourceNotFoundException", &message);
    let event = api::InvocationRequest {
        invocation_type: Some("Event".into()),
        ..ask()
    };
    let event = functions.invoke(cx(), event).await.unwrap_err();
    assert_eq!(
        event.message,
        "An event without a queue is not supported by this platform yet"
    );
    let dry = api::InvocationRequest {
        invocation_type: Some("DryRun".into()),
        ..ask()
    };
    let dry = functions.invoke(cx(), dry).await.unwrap();
    assert_eq!((dry.status_code, dry.payload), (Some(204), None));
    assert!(world.executor.last.lock().unwrap().is_none());

    let whole = api::InvocationRequest {
        log_type: Some("Tail".into()),
        client_context: Some("eyJhIjoxfQ==".into()),
        qualifier: Some("$LATEST".into()),
        ..ask()
    };
    let answer = functions.invoke(cx(), whole).await.unwrap();
    assert_eq!(answer.log_result.as_deref(), Some("dGhlIGxvZw=="));
    assert_eq!(answer.executed_version.as_deref(), Some("$LATEST"));
    let sent = world.executor.last.lock().unwrap().clone().unwrap();
    assert_eq!(sent.payload, "{}");
    assert_eq!(sent.client_context.as_deref(), Some("{\"a\":1}"));
    assert_eq!(sent.invoked_function_arn, format!("{}:$LATEST", arn("f")));
}
