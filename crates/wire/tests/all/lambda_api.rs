//! Lambda's API over HTTP messages: routing, decoding, validation in AWS's words, answers, errors.

use bytes::Bytes;
use http::{Method, Request, Response};
use serde_json::{Value, json};
use wire::{
    Call, Context, Error, Router,
    lambda::{self, Lambda, errors},
    schema::{Kind, Location},
};

/// Answers with what it was asked, as far as the answers' shapes allow.
struct Echo;

impl Lambda for Echo {
    async fn create_function(
        &self,
        cx: &Context,
        input: lambda::CreateFunctionRequest,
    ) -> Result<lambda::FunctionConfiguration, Error> {
        let size = input.code.zip_file.as_ref().map_or(0, Bytes::len);
        Ok(lambda::FunctionConfiguration {
            function_arn: Some(lambda::function_arn(
                &cx.region,
                &cx.account_id,
                &input.function_name,
                None,
            )),
            function_name: Some(input.function_name),
            role: Some(input.role),
            runtime: input.runtime,
            handler: input.handler,
            memory_size: input.memory_size,
            timeout: input.timeout,
            architectures: input.architectures,
            code_size: i64::try_from(size).ok(),
            environment: input.environment.map(|e| lambda::EnvironmentResponse {
                variables: e.variables,
                ..Default::default()
            }),
            last_modified: Some(wire::time::lambda_last_modified(cx.now)),
            ..Default::default()
        })
    }

    async fn invoke(
        &self,
        _: &Context,
        input: lambda::InvocationRequest,
    ) -> Result<lambda::InvocationResponse, Error> {
        let function_error = input.log_type.map(|log_type| format!("{log_type}!"));
        Ok(lambda::InvocationResponse {
            status_code: Some(if input.invocation_type.is_some() {
                202
            } else {
                200
            }),
            function_error,
            executed_version: input.qualifier.or(Some("$LATEST".to_owned())),
            payload: input.payload,
            ..Default::default()
        })
    }

    async fn get_function(
        &self,
        _: &Context,
        input: lambda::GetFunctionRequest,
    ) -> Result<lambda::GetFunctionResponse, Error> {
        Err(errors::resource_not_found(format!(
            "Function not found: {}",
            input.function_name
        )))
    }

    async fn list_functions(
        &self,
        _: &Context,
        input: lambda::ListFunctionsRequest,
    ) -> Result<lambda::ListFunctionsResponse, Error> {
        Ok(lambda::ListFunctionsResponse {
            next_marker: input
                .marker
                .map(|m| format!("{m}/{}", input.max_items.unwrap_or(50))),
            functions: Some(Vec::new()),
        })
    }

    async fn untag_resource(
        &self,
        _: &Context,
        input: lambda::UntagResourceRequest,
    ) -> Result<(), Error> {
        Err(errors::invalid_parameter_value(input.tag_keys.join("|")))
    }

    async fn delete_function_concurrency(
        &self,
        _: &Context,
        _: lambda::DeleteFunctionConcurrencyRequest,
    ) -> Result<(), Error> {
        Ok(())
    }

    async fn put_function_concurrency(
        &self,
        _: &Context,
        _: lambda::PutFunctionConcurrencyRequest,
    ) -> Result<lambda::Concurrency, Error> {
        Err(
            lambda::too_many_requests("CallerRateLimitExceeded", "Rate exceeded")
                .with("retryAfterSeconds", "2"),
        )
    }
}

fn cx() -> Context {
    Context {
        request_id: "11111111-2222-4333-8444-555555555555".to_owned(),
        account_id: "123456789012".to_owned(),
        region: "us-east-1".to_owned(),
        access_key_id: "AKIAEXAMPLE".to_owned(),
        role: None,
        host: "localhost:4566".to_owned(),
        origin: wire::Origin::default(),
        trace_header: None,
        now: "2024-05-01T09:30:00.123Z".parse().unwrap(),
    }
}

pub fn send(request: Request<Bytes>) -> Response<Bytes> {
    let router = Router::new(&[&lambda::SERVICE]);
    let cx = cx();
    let (parts, body) = request.into_parts();
    match router.route(&parts, &body) {
        Ok(route) => {
            let call = Call {
                cx: &cx,
                route: &route,
                parts: &parts,
                body: &body,
            };
            ready(lambda::dispatch(&Echo, call))
        }
        Err(nowhere) => wire::encode_error(
            nowhere.protocol,
            nowhere.service,
            &nowhere.error,
            &cx.request_id,
        ),
    }
}

/// The implementation above never waits.
pub fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut cx) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("the test's own implementation waits"),
    }
}

pub fn request(method: &str, uri: &str, body: impl Into<Bytes>) -> Request<Bytes> {
    Request::builder()
        .method(method)
        .uri(uri)
        .body(body.into())
        .unwrap()
}

pub fn json_of(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

fn create(body: Value) -> Response<Bytes> {
    send(request("POST", "/2015-03-31/functions", body.to_string()))
}

fn minimal() -> Value {
    json!({
        "FunctionName": "f",
        "Role": "arn:aws:iam::123456789012:role/r",
        "Code": {"ZipFile": "UEs="},
    })
}

/// What the message of a refusal says after "N validation error(s) detected: ".
pub fn breaches(changes: Value) -> (String, String) {
    let mut body = minimal();
    for (key, value) in changes.as_object().unwrap() {
        body[key] = value.clone();
    }
    let response = create(body);
    assert_eq!(response.status(), 400);
    assert_eq!(
        response.headers()["x-amzn-errortype"],
        "ValidationException"
    );
    let message = json_of(&response)["message"].as_str().unwrap().to_owned();
    let (count, list) = message.split_once(" detected: ").unwrap();
    (count.to_owned(), list.to_owned())
}

#[test]
fn every_operation_is_found_at_its_own_address() {
    let router = Router::new(&[&lambda::SERVICE]);
    for operation in lambda::SERVICE.operations {
        let uri = fill(operation.uri);
        for uri in [uri.clone(), with_slash(&uri)] {
            let (parts, ()) = Request::builder()
                .method(operation.method)
                .uri(&uri)
                .body(())
                .unwrap()
                .into_parts();
            let route = router.route(&parts, b"").unwrap();
            assert_eq!(
                route.operation.name, operation.name,
                "{} {uri}",
                operation.method
            );
        }
    }
}

/// A path with a value for each label.
fn fill(uri: &str) -> String {
    let parts = uri
        .split('/')
        .map(|s| if s.starts_with('{') { "x%3Ay" } else { s });
    parts.collect::<Vec<_>>().join("/")
}

fn with_slash(uri: &str) -> String {
    match uri.split_once('?') {
        Some((path, query)) => format!("{path}/?{query}"),
        None => format!("{uri}/"),
    }
}

#[test]
fn labels_are_decoded() {
    let router = Router::new(&[&lambda::SERVICE]);
    let check = |path: &str, name: &str, expect: &str| {
        let (parts, ()) = Request::get(path).body(()).unwrap().into_parts();
        assert_eq!(
            router.route(&parts, b"").unwrap().labels.get(name),
            Some(expect),
            "{path}"
        );
    };
    let arn = "arn:aws:lambda:us-east-1:123456789012:function:f";
    check(&format!("/2015-03-31/functions/{arn}"), "FunctionName", arn);
    let encoded = arn.replace(':', "%3A");
    check(
        &format!("/2015-03-31/functions/{encoded}"),
        "FunctionName",
        arn,
    );
    check(&format!("/2017-03-31/tags/{encoded}/"), "Resource", arn);
    check(
        "/2015-03-31/functions/f%24%2Fx/policy",
        "FunctionName",
        "f$/x",
    );
}

#[test]
fn unknown_addresses_are_no_operation() {
    for (method, uri) in [
        ("GET", "/"),
        ("GET", "/2015-03-31"),
        ("GET", "/2015-03-31/functions//configuration"),
        ("PATCH", "/2015-03-31/functions/f"),
        ("GET", "/2015-03-31/functions/f/nothing"),
        ("GET", "/2018-10-31/functions"),
    ] {
        let response = send(request(method, uri, ""));
        assert_eq!(response.status(), 403, "{method} {uri}");
        assert_eq!(
            response.headers()["x-amzn-errortype"],
            "AccessDeniedException"
        );
        assert_eq!(
            json_of(&response)["Message"],
            "Unable to determine service/operation name to be authorized"
        );
    }
}

#[test]
fn operations_without_code_say_so_by_name() {
    let listed = [(
        "GET",
        "/2025-11-30/capacity-providers",
        "ListCapacityProviders",
    )];
    let left_out = [("GET", "/2015-03-31/functions/f/policy", "GetPolicy")];
    for (method, uri, name) in listed.into_iter().chain(left_out) {
        let response = send(request(method, uri, ""));
        assert_eq!(response.status(), 501);
        assert_eq!(response.headers()["x-amzn-errortype"], "NotImplemented");
        let message = format!("Lambda's operation {name} is not implemented yet");
        assert_eq!(json_of(&response), json!({ "message": message }));
    }
}

#[test]
fn a_function_is_created_from_json() {
    let response = create(json!({
        "FunctionName": "f",
        "Role": "arn:aws:iam::123456789012:role/r",
        "Code": {"ZipFile": "UEsFBg=="},
        "Runtime": "python3.12",
        "Handler": "app.handler",
        "MemorySize": 256,
        "Timeout": null,
        "Architectures": ["arm64"],
        "Environment": {"Variables": {"LEVEL": "debug", "ÄÖ": "not checked"}},
        "SomethingNew": [{"ignored": true}],
    }));
    assert_eq!(
        response.status(),
        400,
        "a name of a variable has to match the model's pattern"
    );

    let response = create(json!({
        "FunctionName": "f",
        "Role": "arn:aws:iam::123456789012:role/r",
        "Code": {"ZipFile": "UEsFBg=="},
        "Runtime": "python3.12",
        "Handler": "app.handler",
        "MemorySize": 256,
        "Timeout": null,
        "Architectures": ["arm64"],
        "Environment": {"Variables": {"LEVEL": "debug"}},
        "SomethingNew": [{"ignored": true}],
    }));
    assert_eq!(response.status(), 201);
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(
        response.headers()["x-amzn-requestid"],
        cx().request_id.as_str()
    );
    assert_eq!(
        json_of(&response),
        json!({
            "FunctionName": "f",
            "FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:f",
            "Runtime": "python3.12",
            "Role": "arn:aws:iam::123456789012:role/r",
            "Handler": "app.handler",
            "CodeSize": 4,
            "MemorySize": 256,
            "LastModified": "2024-05-01T09:30:00.123+0000",
            "Environment": {"Variables": {"LEVEL": "debug"}},
            "Architectures": ["arm64"],
        })
    );
}

#[test]
fn an_invokes_payload_is_nobodys_business() {
    for payload in [&b"{\"a\": 1 }"[..], b"not json \xff\x00", b"\"\\ud800\""] {
        let mut request = request(
            "POST",
            "/2015-03-31/functions/f/invocations?Qualifier=7",
            Bytes::copy_from_slice(payload),
        );
        request
            .headers_mut()
            .insert("X-Amz-Log-Type", "Tail".parse().unwrap());
        let response = send(request);
        assert_eq!(response.status(), 200);
        assert_eq!(response.body().as_ref(), payload);
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.headers()["x-amz-function-error"], "Tail!");
        assert_eq!(response.headers()["x-amz-executed-version"], "7");
    }
    let mut event = request("POST", "/2015-03-31/functions/f/invocations", "{}");
    event
        .headers_mut()
        .insert("x-amz-invocation-type", "Event".parse().unwrap());
    assert_eq!(send(event).status(), 202);
}

#[test]
fn query_strings_become_members() {
    let response = send(request(
        "GET",
        "/2015-03-31/functions/?MaxItems=10&Marker=a%2Fb&Unknown=1",
        "",
    ));
    assert_eq!(
        json_of(&response),
        json!({"NextMarker": "a/b/10", "Functions": []})
    );

    let arn = "arn:aws:lambda:us-east-1:123456789012:function:f";
    let response = send(request(
        "DELETE",
        &format!("/2017-03-31/tags/{arn}?tagKeys=a%20b&tagKeys=c"),
        "",
    ));
    assert_eq!(
        json_of(&response),
        json!({"Type": "User", "message": "a b|c"})
    );

    let response = send(request("GET", "/2015-03-31/functions/?MaxItems=ten", ""));
    assert_eq!(
        response.headers()["x-amzn-errortype"],
        "SerializationException"
    );
}

#[test]
fn no_content_is_nothing() {
    let response = send(request("DELETE", "/2017-10-31/functions/f/concurrency", ""));
    assert_eq!(response.status(), 204);
    assert!(response.body().is_empty());
    assert!(!response.headers().contains_key("content-type"));
}

#[test]
fn errors_have_the_members_of_their_shapes() {
    let response = send(request("GET", "/2015-03-31/functions/f", ""));
    assert_eq!(response.status(), 404);
    assert_eq!(
        response.headers()["x-amzn-errortype"],
        "ResourceNotFoundException"
    );
    assert_eq!(
        response.headers()["x-amzn-requestid"],
        cx().request_id.as_str()
    );
    assert_eq!(
        std::str::from_utf8(response.body()).unwrap(),
        r#"{"Type":"User","Message":"Function not found: f"}"#
    );

    let response = send(request(
        "PUT",
        "/2017-10-31/functions/f/concurrency",
        r#"{"ReservedConcurrentExecutions": 1}"#,
    ));
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "2");
    assert_eq!(
        json_of(&response),
        json!({"Type": "User", "message": "Rate exceeded", "Reason": "CallerRateLimitExceeded"})
    );
}

#[test]
fn bodies_that_are_not_what_they_should_be_are_refused() {
    let check = |body: &str, expect: &str| {
        let response = send(request("POST", "/2015-03-31/functions", body.to_owned()));
        assert_eq!(response.status(), 400, "{body}");
        assert_eq!(
            response.headers()["x-amzn-errortype"],
            "SerializationException"
        );
        let message = json_of(&response)["Message"].as_str().unwrap().to_owned();
        assert!(message.starts_with(expect), "{body}: {message}");
    };
    check("{", "Could not parse request body into json");
    check("{\"a\": 1,}", "Could not parse request body into json");
    check("nonsense", "Could not parse request body into json");
    check("{} {}", "Could not parse request body into json");
    check(
        &"[".repeat(100_000),
        "Start of list found where not expected",
    );
    check(
        &format!("{{\"x\": {}", "[".repeat(100_000)),
        "Could not parse request body into json",
    );
    check("[]", "Start of list found where not expected");
    check(
        r#"{"FunctionName": 7}"#,
        "NUMBER_VALUE can not be converted to a String",
    );
    check(
        r#"{"FunctionName": true}"#,
        "TRUE_VALUE can not be converted to a String",
    );
    check(
        r#"{"FunctionName": {}}"#,
        "Start of structure or map found where not expected",
    );
    check(
        r#"{"MemorySize": "128"}"#,
        "STRING_VALUE can not be converted to an Integer",
    );
    check(
        r#"{"MemorySize": 99999999999}"#,
        "NUMBER_VALUE can not be converted to an Integer",
    );
    check(
        r#"{"MemorySize": 1.5}"#,
        "NUMBER_VALUE can not be converted to an Integer",
    );
    check(
        r#"{"Code": {"ZipFile": "no base64!"}}"#,
        "STRING_VALUE can not be converted to a Blob",
    );
    check(
        r#"{"Architectures": {}}"#,
        "Start of structure or map found where not expected",
    );
    check(
        r#"{"Environment": {"Variables": {"A": 1}}}"#,
        "NUMBER_VALUE can not be converted",
    );
}

#[test]
fn a_broken_constraint_is_named_in_awss_words() {
    let one = |changes: Value, expect: &str| {
        assert_eq!(
            breaches(changes),
            ("1 validation error".to_owned(), expect.to_owned())
        );
    };
    one(
        json!({"Role": "r1"}),
        r"Value 'r1' at 'role' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+",
    );
    one(
        json!({"Role": null}),
        "Value null at 'role' failed to satisfy constraint: Member must not be null",
    );
    one(
        json!({"Timeout": 0}),
        "Value '0' at 'timeout' failed to satisfy constraint: Member must have value greater than or equal to 1",
    );
    one(
        json!({"Description": "d".repeat(257)}),
        &format!(
            "Value '{}' at 'description' failed to satisfy constraint: Member must have length less than or equal to 256",
            "d".repeat(257)
        ),
    );
    one(
        json!({"SnapStart": {"ApplyOn": "invalidOption"}}),
        "Value 'invalidOption' at 'snapStart.applyOn' failed to satisfy constraint: Member must satisfy enum value set: [PublishedVersions, None]",
    );
    one(
        json!({"Architectures": ["x86_64", "arm64"]}),
        "Value '[x86_64, arm64]' at 'architectures' failed to satisfy constraint: Member must have length less than or equal to 1",
    );
    one(
        json!({"Architectures": ["X86_64"]}),
        "Value '[X86_64]' at 'architectures' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64], Member must not be null]",
    );
    one(
        json!({"VpcConfig": {"SubnetIds": ["bad"]}}),
        "Value '[bad]' at 'vpcConfig.subnetIds' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 1024, Member must have length greater than or equal to 0, Member must satisfy regular expression pattern: subnet-[0-9a-z]*]",
    );
    one(
        json!({"FileSystemConfigs": [{"Arn": "arn:aws:elasticfilesystem:us-east-1:123456789012:access-point/fsap-01234567890123456"}]}),
        "Value null at 'fileSystemConfigs.1.member.localMountPath' failed to satisfy constraint: Member must not be null",
    );
}

#[test]
fn secrets_are_not_repeated() {
    let (_, list) = breaches(json!({"Environment": {"Variables": {"1": "hunter2"}}}));
    assert_eq!(
        list,
        "Value at 'environment.variables' failed to satisfy constraint: Map keys must satisfy constraint: [Member must satisfy regular expression pattern: [a-zA-Z]([a-zA-Z0-9_])+]"
    );
}

#[test]
fn all_broken_constraints_are_listed() {
    let name = format!(
        "arn:aws:lambda:invalid-region:123456789012:function:{}",
        "a".repeat(170)
    );
    let (count, list) = breaches(json!({"FunctionName": name, "Role": null}));
    assert_eq!(count, "3 validation errors");
    let list: Vec<&str> = list.split("; ").collect();
    assert!(list[0].contains("at 'functionName'") && list[0].contains("regular expression"));
    assert!(list[1].ends_with("Member must have length less than or equal to 140"));
    assert!(list[2].starts_with("Value null at 'role'"));
}

#[test]
fn names_in_paths_are_checked_too() {
    let check = |method: Method, uri: &str, at: &str| {
        let response = send(request(method.as_str(), uri, ""));
        assert_eq!(response.status(), 400, "{uri}");
        let message = json_of(&response)["message"].as_str().unwrap().to_owned();
        assert!(message.contains(at), "{uri}: {message}");
    };
    check(
        Method::GET,
        "/2015-03-31/functions/my-function%21",
        "Value 'my-function!' at 'functionName'",
    );
    check(
        Method::GET,
        "/2015-03-31/functions/f?Qualifier=invalid%21",
        "Value 'invalid!' at 'qualifier'",
    );
    check(
        Method::POST,
        "/2015-03-31/functions/arn:aws:lambda:us-east-1:1234@function:f/invocations",
        "at 'functionName' failed to satisfy constraint: Member must satisfy regular expression",
    );
    check(
        Method::DELETE,
        "/2017-03-31/tags/arn:aws:something",
        "at 'resource'",
    );
    let arn = "arn:aws:lambda:us-east-1:123456789012:function:f";
    check(
        Method::DELETE,
        &format!("/2017-03-31/tags/{arn}"),
        "Value null at 'tagKeys' failed to satisfy constraint: Member must not be null",
    );
    check(
        Method::GET,
        "/2021-10-31/functions/f/url?Qualifier=1",
        r"pattern: ((?!^\d+$)^[0-9a-zA-Z-_]+$)",
    );
}

#[test]
fn the_tables_hold_together() {
    let service = &lambda::SERVICE;
    for (index, operation) in service.operations.iter().enumerate() {
        assert_eq!(usize::from(operation.index), index);
        for shape in operation.errors {
            let Kind::Structure(shape) = service.shape(*shape).kind else {
                panic!("no structure")
            };
            assert!(shape.error.is_some(), "{}", operation.name);
        }
        let Some(input) = operation.input else {
            continue;
        };
        let Kind::Structure(input) = service.shape(input).kind else {
            panic!("no structure")
        };
        for member in input.members.iter().filter(|m| m.location == Location::Uri) {
            assert!(operation.uri.contains(&format!("{{{}}}", member.wire())));
        }
    }
    for shape in service.shapes {
        if let Some(pattern) = &shape.pattern {
            assert!(pattern.compiles(), "{}: {}", shape.name, pattern.text);
        }
    }
}
