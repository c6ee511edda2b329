//! SQS over both of its protocols: what arrives is the same, and so is what is said, each in its form.

use bytes::Bytes;
use http::{Request, Response};
use serde_json::{Value as Json, json};
use wire::{
    Call, Context, Error, Map, Router,
    sqs::{self, SQS, errors},
};

use crate::lambda_api::ready;

/// Answers by what the queue is called: with an error of that name, or with what a queue may give.
struct Queue;

impl SQS for Queue {
    async fn create_queue(
        &self,
        _: &Context,
        input: sqs::CreateQueueRequest,
    ) -> Result<sqs::CreateQueueResult, Error> {
        refused(&input.queue_name)?;
        Ok(sqs::CreateQueueResult {
            queue_url: Some(format!("{input:?}")),
        })
    }

    async fn send_message(
        &self,
        _: &Context,
        input: sqs::SendMessageRequest,
    ) -> Result<sqs::SendMessageResult, Error> {
        refused(&input.queue_url)?;
        Ok(sqs::SendMessageResult {
            message_id: Some(input.queue_url),
            sequence_number: Some(input.message_body),
            ..Default::default()
        })
    }

    async fn receive_message(
        &self,
        _: &Context,
        input: sqs::ReceiveMessageRequest,
    ) -> Result<sqs::ReceiveMessageResult, Error> {
        if input.queue_url == "empty" {
            return Ok(sqs::ReceiveMessageResult::default());
        }
        let text = sqs::MessageAttributeValue {
            string_value: Some("v".to_owned()),
            data_type: "String".to_owned(),
            ..Default::default()
        };
        let bytes = sqs::MessageAttributeValue {
            binary_value: Some(Bytes::from_static(&[0, 255])),
            data_type: "Binary".to_owned(),
            ..Default::default()
        };
        let message = sqs::Message {
            body: Some("{\"a\": \"<b>\"}\r\n".to_owned()),
            attributes: Some(Map::from_iter([("SenderId".to_owned(), "AIDA".to_owned())])),
            message_attributes: Some(Map::from_iter([
                ("t".to_owned(), text),
                ("b".to_owned(), bytes),
            ])),
            ..Default::default()
        };
        Ok(sqs::ReceiveMessageResult {
            messages: Some(vec![message, sqs::Message::default()]),
        })
    }

    async fn delete_message_batch(
        &self,
        _: &Context,
        input: sqs::DeleteMessageBatchRequest,
    ) -> Result<sqs::DeleteMessageBatchResult, Error> {
        refused(&input.queue_url)?;
        let failed = sqs::BatchResultErrorEntry {
            id: "b".to_owned(),
            sender_fault: true,
            code: "ReceiptHandleIsInvalid".to_owned(),
            message: None,
        };
        Ok(sqs::DeleteMessageBatchResult {
            successful: vec![sqs::DeleteMessageBatchResultEntry { id: "a".to_owned() }],
            failed: Some(vec![failed]),
        })
    }

    async fn list_queues(
        &self,
        _: &Context,
        _: sqs::ListQueuesRequest,
    ) -> Result<sqs::ListQueuesResult, Error> {
        Ok(sqs::ListQueuesResult {
            queue_urls: Some(vec!["u".to_owned(), "v".to_owned()]),
            next_token: None,
        })
    }

    async fn delete_queue(&self, _: &Context, _: sqs::DeleteQueueRequest) -> Result<(), Error> {
        Ok(())
    }
}

fn refused(queue: &str) -> Result<(), Error> {
    match queue {
        "gone" => Err(errors::queue_does_not_exist("The specified queue <gone>.")),
        "full" => Err(errors::over_limit("Too many")),
        "elsewhere" => Err(errors::message_not_inflight("Not in flight")),
        "wrong" => Err(sqs::invalid_parameter_value("Value 1 is invalid.")),
        _ => Ok(()),
    }
}

fn send(request: Request<Bytes>) -> Response<Bytes> {
    let router = Router::new(&[&wire::lambda::SERVICE, &sqs::SERVICE]);
    let cx = Context {
        request_id: "r".to_owned(),
        account_id: "123456789012".to_owned(),
        region: "us-east-1".to_owned(),
        access_key_id: String::new(),
        role: None,
        host: "localhost:4566".to_owned(),
        origin: wire::Origin::default(),
        trace_header: None,
        now: wire::Timestamp::UNIX_EPOCH,
    };
    let (parts, body) = request.into_parts();
    match router.route(&parts, &body) {
        Ok(route) => {
            let call = Call {
                cx: &cx,
                route: &route,
                parts: &parts,
                body: &body,
            };
            ready(sqs::dispatch(&Queue, call))
        }
        Err(nowhere) => wire::encode_error(nowhere.protocol, nowhere.service, &nowhere.error, "r"),
    }
}

fn in_json(operation: &str, body: impl Into<Bytes>) -> Response<Bytes> {
    let request = Request::post("/")
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amzn-query-mode", "true")
        .header("x-amz-target", format!("AmazonSQS.{operation}"));
    send(request.body(body.into()).unwrap())
}

fn form(path: &str, body: impl Into<Bytes>) -> Response<Bytes> {
    let request = Request::post(path).header("host", "localhost:4566").header(
        "content-type",
        "application/x-www-form-urlencoded; charset=utf-8",
    );
    send(request.body(body.into()).unwrap())
}

fn get(uri: &str, accept: &str) -> Response<Bytes> {
    let request = Request::get(uri)
        .header("host", "localhost:4566")
        .header("accept", accept)
        .header("x-amz-date", "20260101T000000Z")
        .header(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/sqs/aws4_request, \
             SignedHeaders=host, Signature=00",
        );
    send(request.body(Bytes::new()).unwrap())
}

fn text(response: &Response<Bytes>) -> &str {
    std::str::from_utf8(response.body()).unwrap()
}

fn json_of(response: &Response<Bytes>) -> Json {
    serde_json::from_slice(response.body()).unwrap()
}

const XMLNS: &str = "xmlns=\"http://queue.amazonaws.com/doc/2012-11-05/\"";

/// The whole answer in XML to a request with this body.
fn xml(body: &str) -> String {
    let response = form("/", body.to_owned());
    assert_eq!(response.headers()["content-type"], "text/xml");
    let text = text(&response).strip_prefix("<?xml version=\"1.0\"?>");
    text.unwrap().replacen(&format!(" {XMLNS}"), "", 1)
}

#[test]
fn both_protocols_mean_the_same() {
    let check = |operation: &str, json: Json, pairs: &str| {
        let router = Router::new(&[&sqs::SERVICE]);
        let read = |request: Request<Bytes>| {
            let (parts, body) = request.into_parts();
            let route = router.route(&parts, &body).unwrap();
            let (service, labels) = (route.service, &route.labels);
            wire::decode_request(
                route.protocol,
                service,
                route.operation,
                labels,
                &parts,
                &body,
            )
            .unwrap()
        };
        let of_json = read(
            Request::post("/")
                .header("x-amz-target", format!("AmazonSQS.{operation}"))
                .body(json.to_string().into())
                .unwrap(),
        );
        let of_form = read(
            Request::post("/")
                .header("content-type", "application/x-www-form-urlencoded")
                .body(format!("Action={operation}&Version=2012-11-05&{pairs}").into())
                .unwrap(),
        );
        assert_eq!(of_json, of_form, "{operation} {pairs}");
    };
    check(
        "CreateQueue",
        json!({"QueueName": "q", "Attributes": {"FifoQueue": "true", "Policy": "{}"}, "tags": {"k": "v"}}),
        "QueueName=q&Attribute.1.Name=FifoQueue&Attribute.1.Value=true&Attribute.2.Name=Policy\
         &Attribute.2.Value=%7B%7D&Tag.1.Key=k&Tag.1.Value=v",
    );
    check(
        "SetQueueAttributes",
        json!({"QueueUrl": "u", "Attributes": {"DelaySeconds": "5"}}),
        "Attribute.Value=5&Attribute.Name=DelaySeconds&QueueUrl=u",
    );
    check(
        "SendMessage",
        json!({
            "QueueUrl": "http://h/1/q", "MessageBody": "a b+ä", "DelaySeconds": 3,
            "MessageAttributes": {
                "t": {"DataType": "String", "StringValue": "v"},
                "b": {"DataType": "Binary", "BinaryValue": "AP8="},
            },
            "MessageSystemAttributes": {
                "AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1"},
            },
        }),
        "QueueUrl=http%3A%2F%2Fh%2F1%2Fq&MessageBody=a+b%2B%C3%A4&DelaySeconds=3\
         &MessageAttribute.1.Name=t&MessageAttribute.1.Value.DataType=String\
         &MessageAttribute.1.Value.StringValue=v&MessageAttribute.2.Name=b\
         &MessageAttribute.2.Value.DataType=Binary&MessageAttribute.2.Value.BinaryValue=AP8%3D\
         &MessageSystemAttribute.1.Name=AWSTraceHeader\
         &MessageSystemAttribute.1.Value.DataType=String\
         &MessageSystemAttribute.1.Value.StringValue=Root%3D1",
    );
    // Indices may have gaps, and need not come in order.
    check(
        "SendMessageBatch",
        json!({"QueueUrl": "u", "Entries": [
            {"Id": "a", "MessageBody": "1"},
            {"Id": "b", "MessageBody": "2", "MessageAttributes": {"n": {
                "DataType": "Number", "StringListValues": ["x", "y"],
            }}},
        ]}),
        "QueueUrl=u&SendMessageBatchRequestEntry.1000000000.Id=b\
         &SendMessageBatchRequestEntry.2.Id=a&SendMessageBatchRequestEntry.2.MessageBody=1\
         &SendMessageBatchRequestEntry.1000000000.MessageBody=2\
         &SendMessageBatchRequestEntry.1000000000.MessageAttribute.1.Name=n\
         &SendMessageBatchRequestEntry.1000000000.MessageAttribute.1.Value.DataType=Number\
         &SendMessageBatchRequestEntry.1000000000.MessageAttribute.1.Value.StringListValue.1=x\
         &SendMessageBatchRequestEntry.1000000000.MessageAttribute.1.Value.StringListValue.2=y",
    );
    check(
        "ReceiveMessage",
        json!({"QueueUrl": "u", "AttributeNames": ["All", "SenderId"],
               "MessageAttributeNames": ["a.*"], "MaxNumberOfMessages": 10}),
        "QueueUrl=u&AttributeName.1=All&AttributeName.2=SenderId&MessageAttributeName=a.*\
         &MaxNumberOfMessages=10",
    );
    check(
        "UntagQueue",
        json!({"QueueUrl": "u", "TagKeys": ["a", ""]}),
        "QueueUrl=u&TagKey.1=a&TagKey.2=",
    );
    check(
        "AddPermission",
        json!({"QueueUrl": "u", "Label": "l", "AWSAccountIds": ["1"], "Actions": ["*"]}),
        "QueueUrl=u&Label=l&AWSAccountId.1=1&ActionName.1=*",
    );
    check(
        "DeleteMessageBatch",
        json!({"QueueUrl": "u", "Entries": []}),
        "QueueUrl=u&Entries=",
    );
    // Of a name that comes twice the first counts; what nothing is called is ignored.
    check(
        "GetQueueUrl",
        json!({"QueueName": "q"}),
        "QueueName=q&QueueName=r&Nothing.1.X=y&QueueName.1=z&&=",
    );
}

#[test]
fn answers_in_xml_have_the_operations_name() {
    let metadata = "<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>";
    assert_eq!(
        xml("Action=SendMessage&QueueUrl=u&MessageBody=%3Cm%3E"),
        format!(
            "<SendMessageResponse><SendMessageResult><MessageId>u</MessageId>\
             <SequenceNumber>&lt;m&gt;</SequenceNumber></SendMessageResult>{metadata}\
             </SendMessageResponse>"
        )
    );
    assert_eq!(
        xml("Action=ReceiveMessage&QueueUrl=u"),
        format!(
            "<ReceiveMessageResponse><ReceiveMessageResult><Message>\
             <Body>{{&quot;a&quot;: &quot;&lt;b&gt;&quot;}}&#xD;\n</Body>\
             <Attribute><Name>SenderId</Name><Value>AIDA</Value></Attribute>\
             <MessageAttribute><Name>t</Name><Value><StringValue>v</StringValue>\
             <DataType>String</DataType></Value></MessageAttribute>\
             <MessageAttribute><Name>b</Name><Value><BinaryValue>AP8=</BinaryValue>\
             <DataType>Binary</DataType></Value></MessageAttribute>\
             </Message><Message></Message></ReceiveMessageResult>{metadata}</ReceiveMessageResponse>"
        )
    );
    assert_eq!(
        xml("Action=ReceiveMessage&QueueUrl=empty"),
        format!(
            "<ReceiveMessageResponse><ReceiveMessageResult></ReceiveMessageResult>{metadata}\
             </ReceiveMessageResponse>"
        )
    );
    assert_eq!(
        xml("Action=DeleteMessageBatch&QueueUrl=u"),
        format!(
            "<DeleteMessageBatchResponse><DeleteMessageBatchResult>\
             <DeleteMessageBatchResultEntry><Id>a</Id></DeleteMessageBatchResultEntry>\
             <BatchResultErrorEntry><Id>b</Id><SenderFault>true</SenderFault>\
             <Code>ReceiptHandleIsInvalid</Code></BatchResultErrorEntry>\
             </DeleteMessageBatchResult>{metadata}</DeleteMessageBatchResponse>"
        )
    );
    assert_eq!(
        xml("Action=DeleteQueue&QueueUrl=u"),
        format!("<DeleteQueueResponse>{metadata}</DeleteQueueResponse>")
    );
}

#[test]
fn answers_in_json_are_plain() {
    let received = json_of(&in_json("ReceiveMessage", r#"{"QueueUrl": "u"}"#));
    let message = &received["Messages"][0];
    assert_eq!(message["Body"], "{\"a\": \"<b>\"}\r\n");
    assert_eq!(message["MessageAttributes"]["b"]["BinaryValue"], "AP8=");
    let nothing = in_json("DeleteQueue", r#"{"QueueUrl": "u"}"#);
    assert_eq!((nothing.status().as_u16(), text(&nothing)), (200, "{}"));
    let headers = nothing.headers();
    assert_eq!(headers["content-type"], "application/x-amz-json-1.0");
    assert_eq!(headers["x-amzn-requestid"], "r");
}

#[test]
fn a_get_may_be_answered_in_json() {
    let listed = get("/?Action=ListQueues", "application/json");
    assert_eq!(listed.headers()["content-type"], "application/json");
    let expect = json!({"ListQueuesResponse": {
        "ListQueuesResult": {"queueUrls": ["u", "v"]},
        "ResponseMetadata": {"RequestId": "r"},
    }});
    assert_eq!(json_of(&listed), expect);
    let refused = get(
        "/?Action=SendMessage&QueueUrl=gone&MessageBody=m",
        "application/json",
    );
    let code = "AWS.SimpleQueueService.NonExistentQueue";
    assert_eq!(json_of(&refused)["Error"]["Code"], code);
    assert!(text(&get("/?Action=ListQueues", "*/*")).starts_with("<?xml"));
}

/// A queue's name that is refused, and what is said of it.
const REFUSED: &[(&str, u16, &str, &str, &str)] = &[
    (
        "gone",
        400,
        "com.amazonaws.sqs#QueueDoesNotExist",
        "AWS.SimpleQueueService.NonExistentQueue",
        "The specified queue <gone>.",
    ),
    (
        "full",
        403,
        "com.amazonaws.sqs#OverLimit",
        "OverLimit",
        "Too many",
    ),
    (
        "elsewhere",
        400,
        "com.amazonaws.sqs#MessageNotInflight",
        "AWS.SimpleQueueService.MessageNotInflight",
        "Not in flight",
    ),
    (
        "wrong",
        400,
        "com.amazon.coral.service#InvalidParameterValueException",
        "InvalidParameterValue",
        "Value 1 is invalid.",
    ),
];

#[test]
fn errors_have_both_codes() {
    for (queue, status, code, query_code, message) in REFUSED {
        let body = json!({"QueueUrl": queue, "MessageBody": "m"}).to_string();
        let response = in_json("SendMessage", body.clone());
        assert_eq!(response.status(), *status, "{queue}");
        assert_eq!(
            json_of(&response),
            json!({"__type": code, "message": message})
        );
        assert_eq!(
            response.headers()["x-amzn-query-error"],
            format!("{query_code};Sender").as_str()
        );
        // A client that does not know of awsQuery does not know its statuses.
        let plain = Request::post("/").header("x-amz-target", "AmazonSQS.SendMessage");
        assert_eq!(send(plain.body(body.into()).unwrap()).status(), 400);

        let message = message.replace('<', "&lt;").replace('>', "&gt;");
        let pairs = format!("Action=SendMessage&QueueUrl={queue}&MessageBody=m");
        assert_eq!(form("/", pairs.clone()).status(), *status, "{queue}");
        assert_eq!(
            xml(&pairs),
            format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{query_code}</Code>\
                 <Message>{message}</Message><Detail/></Error><RequestId>r</RequestId>\
                 </ErrorResponse>"
            )
        );
    }
    let without = xml("Action=CreateQueue&QueueName=gone");
    assert!(without.contains("</Message></Error>"), "{without}");
}

#[test]
fn what_is_missing_is_named() {
    for (operation, body, expect) in [
        ("SendMessage", json!({}), "QueueUrl"),
        ("SendMessage", json!({"QueueUrl": "u"}), "MessageBody"),
        ("TagQueue", json!({"QueueUrl": "u"}), "Tag.Key"),
        (
            "SetQueueAttributes",
            json!({"QueueUrl": "u", "Attributes": {}}),
            "Attribute.Name",
        ),
        ("UntagQueue", json!({"QueueUrl": "u"}), "TagKey"),
    ] {
        let response = in_json(operation, body.to_string());
        let message = format!("The request must contain the parameter {expect}.");
        assert_eq!(response.status(), 400);
        assert_eq!(
            json_of(&response),
            json!({
                "__type": "com.amazon.coral.service#MissingRequiredParameterException",
                "message": message,
            })
        );
        let query_error = &response.headers()["x-amzn-query-error"];
        assert_eq!(query_error, "MissingParameter;Sender");
    }
    // Whether a batch has entries is the operation's own business.
    let batch = in_json("DeleteMessageBatch", r#"{"QueueUrl": "u"}"#);
    assert_eq!(batch.status(), 200);
    // No body is an empty one.
    assert_eq!(in_json("ListQueues", "").status(), 200);
    let unnamed = xml("Action=CreateQueue&QueueName=q&Attribute.1.Value=5");
    assert!(
        unnamed.contains("<Code>MissingParameter</Code>"),
        "{unnamed}"
    );
    assert!(
        unnamed.contains("the parameter Attribute.Name."),
        "{unnamed}"
    );
}

#[test]
fn a_queue_answers_at_its_own_path() {
    let sent = |path: &str, pairs: &str| text(&form(path, pairs.to_owned())).to_owned();
    let path = "/123456789012/q";
    let own = sent(path, "Action=SendMessage&MessageBody=m");
    let url = "<MessageId>http://localhost:4566/123456789012/q</MessageId>";
    assert!(own.contains(url), "{own}");
    let other = sent(path, "Action=SendMessage&MessageBody=m&QueueUrl=other");
    assert!(other.contains("<MessageId>other</MessageId>"), "{other}");
    let asked = get("/123456789012/q?Action=SendMessage&MessageBody=m", "*/*");
    assert!(text(&asked).contains(url));

    for action in ["CreateQueue", "ListQueues", "FooBar"] {
        let refused = sent(path, &format!("Action={action}&QueueName=q"));
        assert!(refused.contains("<Code>InvalidAction</Code>"), "{refused}");
        let message = format!("The action {action} is not valid for this endpoint.");
        assert!(refused.contains(&message), "{refused}");
    }
    let nothing = get(path, "*/*");
    assert_eq!(nothing.status(), 404);
    assert_eq!(text(&nothing), "<UnknownOperationException/>\n");
    let unnamed = sent("/", "QueueName=q");
    assert!(unnamed.contains("<Code>MissingAction</Code>"), "{unnamed}");
}

#[test]
fn what_no_client_sends_is_refused_in_form() {
    let refused = |response: Response<Bytes>| {
        assert_eq!(response.status(), 400, "{}", text(&response));
        text(&response).to_owned()
    };
    for (body, expect) in [
        ("{", "Could not parse request body into json: "),
        (
            r#"{"QueueUrl": 1}"#,
            "NUMBER_VALUE can not be converted to a String",
        ),
        (
            r#"{"QueueUrl": "u", "DelaySeconds": "1"}"#,
            "STRING_VALUE can not be",
        ),
        ("null", "null can not be converted to a Structure"),
        ("\"\u{0}\"", "Could not parse"),
    ] {
        let said = refused(in_json("SendMessage", body));
        assert!(
            said.contains("coral.service#SerializationException"),
            "{said}"
        );
        assert!(said.contains(expect), "{said}");
    }
    assert!(refused(in_json("SendMessage", &b"{\"QueueUrl\": \"\xff\"}"[..])).contains("__type"));
    assert!(refused(in_json("Nothing", "{}")).contains("UnknownOperationException"));

    let send = "Action=SendMessage&QueueUrl=u&MessageBody=m&";
    let malformed = |pairs: String| {
        let said = refused(form("/", format!("{send}{pairs}")));
        assert!(said.contains("<Code>MalformedInput</Code>"), "{said}");
    };
    malformed("DelaySeconds=x".to_owned());
    malformed("DelaySeconds=99999999999".to_owned());
    malformed("MessageGroupId=%ff".to_owned());
    malformed("MessageAttribute.1.Name=a&MessageAttribute.1.Value.BinaryValue=!".to_owned());
    malformed("a&".repeat(60_000));
    assert!(refused(form("/", &b"Action=ListQueues&\xff=1"[..])).contains("<Code>MissingAction<"));

    // None of these names anything, however long they are.
    for pairs in [
        "A.1.1.1.1.1.1=x".to_owned(),
        format!("MessageAttribute{}=x", ".1".repeat(100_000)),
        format!("MessageBody{}=x", ".".repeat(100_000)),
        "MessageAttribute.99999999999999999999999.Name=x".to_owned(),
        "MessageSystemAttribute.=x&DelaySeconds.1=x".to_owned(),
    ] {
        let response = form("/", format!("{send}{pairs}"));
        let is_fine = response.status() == 200 || text(&response).contains("MissingParameter");
        assert!(is_fine, "{}", text(&response));
    }
    // Few attributes by their indices, whatever those are.
    let entries = (0..9_000).rev().map(|n| format!("&Entries.{n}000000.Id=x"));
    let many = format!(
        "Action=DeleteMessageBatch&QueueUrl=u{}",
        entries.collect::<String>()
    );
    assert_eq!(form("/", many).status(), 200);
}
