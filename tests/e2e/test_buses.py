"""EventBridge with boto3: from what is put on a bus to who is told of it, also after a kill."""

import base64
import http.server
import json
import threading
from datetime import UTC, datetime, timedelta

import pytest

from support.server import ACCOUNT, REGION

NOTHING = "def handler(event, context): pass"


@pytest.fixture(scope="module")
def events(server):
    return server.client("events")


@pytest.fixture(scope="module")
def sqs(server):
    return server.client("sqs")


class Queue:
    def __init__(self, sqs, name, **attributes):
        self.sqs = sqs
        self.url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        asked = sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])
        self.arn = asked["Attributes"]["QueueArn"]

    def let_in(self, source_arn):
        """By its policy, as EventBridge needs it in AWS."""
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": self.arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": source_arn}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.sqs.set_queue_attributes(QueueUrl=self.url, Attributes={"Policy": policy})
        return self

    def take(self, count=1, wait=20):
        """Messages, in the order in which they come."""
        taken = []
        while len(taken) < count:
            answer = self.sqs.receive_message(
                QueueUrl=self.url,
                MaxNumberOfMessages=10,
                WaitTimeSeconds=wait,
                MessageAttributeNames=["All"],
            )
            messages = answer.get("Messages", [])
            assert messages, f"{len(taken)} of {count} messages came"
            for message in messages:
                self.sqs.delete_message(
                    QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"]
                )
            taken += messages
        return taken

    def events(self, count=1):
        return [json.loads(message["Body"]) for message in self.take(count)]


def rule_to(events, sqs, name, pattern, bus="default", **target):
    """A rule with a queue of its own as its target."""
    arn = events.put_rule(Name=name, EventBusName=bus, EventPattern=json.dumps(pattern))["RuleArn"]
    queue = Queue(sqs, name).let_in(arn)
    answer = events.put_targets(
        Rule=name, EventBusName=bus, Targets=[{"Id": "queue", "Arn": queue.arn, **target}]
    )
    assert answer["FailedEntryCount"] == 0
    return queue


def put(events, source, detail, bus="default", kind="made", **entry):
    answer = events.put_events(
        Entries=[
            {
                "Source": source,
                "DetailType": kind,
                "Detail": json.dumps(detail),
                "EventBusName": bus,
                **entry,
            }
        ]
    )
    assert answer["FailedEntryCount"] == 0, answer
    return answer["Entries"][0]["EventId"]


def test_a_rule_sends_what_matches_to_a_queue(events, sqs, name):
    queue = rule_to(events, sqs, name, {"source": [name], "detail": {"n": [{"numeric": [">", 1]}]}})
    put(events, name, {"n": 1})
    sent = put(events, name, {"n": 2}, Resources=["arn:x"])
    (event,) = queue.events()
    assert event == {
        "version": "0",
        "id": sent,
        "detail-type": "made",
        "source": name,
        "account": ACCOUNT,
        "time": event["time"],
        "region": REGION,
        "resources": ["arn:x"],
        "detail": {"n": 2},
    }


def test_a_transformer_and_a_path_say_what_a_target_gets(events, sqs, name):
    template = '{"order": <id>, "said": "it is <id> of <aws.events.rule-name>"}'
    transformer = {"InputPathsMap": {"id": "$.detail.id"}, "InputTemplate": template}
    pattern = {"source": [name]}
    told = rule_to(events, sqs, name, pattern, InputTransformer=transformer)
    part = rule_to(events, sqs, f"{name}-part", pattern, InputPath="$.detail.list[1]")
    put(events, name, {"id": "o-1", "list": [1, {"x": 2}]})
    assert told.events() == [{"order": "o-1", "said": f"it is o-1 of {name}"}]
    assert part.events() == [{"x": 2}]


def test_a_function_is_invoked_if_its_policy_says_so(events, sqs, client, make_function, name):
    answers = Queue(sqs, f"{name}-answers")
    function = make_function(NOTHING)
    function_arn = client.get_function_configuration(FunctionName=function)["FunctionArn"]
    # What it was invoked with is told by the record of its end.
    told = {"OnSuccess": {"Destination": answers.arn}}
    client.put_function_event_invoke_config(FunctionName=function, DestinationConfig=told)
    letters = Queue(sqs, f"{name}-letters")
    rule = events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))["RuleArn"]
    letters.let_in(rule)
    target = {"Id": "f", "Arn": function_arn, "DeadLetterConfig": {"Arn": letters.arn}}
    events.put_targets(Rule=name, Targets=[target])

    put(events, name, {"allowed": False})
    (letter,) = letters.take()
    said = {key: value["StringValue"] for key, value in letter["MessageAttributes"].items()}
    assert (said["RULE_ARN"], said["TARGET_ARN"]) == (rule, function_arn)
    assert said["ERROR_CODE"] == "NO_PERMISSIONS", said
    assert json.loads(letter["Body"])["detail"] == {"allowed": False}

    client.add_permission(
        FunctionName=function,
        StatementId="rule",
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
        SourceArn=rule,
    )
    put(events, name, {"allowed": True})
    (record,) = answers.events()
    assert record["requestPayload"]["detail"] == {"allowed": True}


def test_a_functions_end_is_told_to_a_bus(events, sqs, client, make_function, name):
    function = make_function(NOTHING)
    arn = client.get_function_configuration(FunctionName=function)["FunctionArn"]
    pattern = {"source": ["lambda"], "resources": [{"prefix": arn}]}
    queue = rule_to(events, sqs, name, pattern)
    bus = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"
    told = {"OnSuccess": {"Destination": bus}}
    client.put_function_event_invoke_config(FunctionName=function, DestinationConfig=told)
    client.invoke(FunctionName=function, InvocationType="Event", Payload=b'{"n": 1}')
    (event,) = queue.events()
    assert event["detail-type"] == "Lambda Function Invocation Result - Success"
    assert event["resources"] == [bus, f"{arn}:$LATEST"]
    assert event["detail"]["requestPayload"] == {"n": 1}


def test_an_event_goes_from_bus_to_bus_and_not_in_a_circle(events, sqs, name):
    first, second = f"{name}-1", f"{name}-2"
    arns = {bus: events.create_event_bus(Name=bus)["EventBusArn"] for bus in (first, second)}
    queue = rule_to(events, sqs, name, {"source": [name]}, bus=second)
    for bus, other in ((first, second), (second, first)):
        events.put_rule(Name="on", EventBusName=bus, EventPattern=json.dumps({"source": [name]}))
        target = {"Id": "bus", "Arn": arns[other]}
        events.put_targets(Rule="on", EventBusName=bus, Targets=[target])
    sent = put(events, name, {}, bus=first)
    # Sixteen times around, and no more.
    rounds = queue.events(16)
    assert {event["id"] for event in rounds} == {sent}
    left = sqs.receive_message(QueueUrl=queue.url, WaitTimeSeconds=1)
    assert "Messages" not in left


def test_an_archive_is_replayed_to_the_rule_that_is_named(events, sqs, name):
    bus = events.create_event_bus(Name=name)["EventBusArn"]
    archive = events.create_archive(
        ArchiveName=name, EventSourceArn=bus, EventPattern=json.dumps({"source": [name]})
    )["ArchiveArn"]
    one = rule_to(events, sqs, f"{name}-one", {"source": [name]}, bus=name)
    other = rule_to(events, sqs, f"{name}-other", {"source": [name]}, bus=name)
    begun = datetime.now(UTC) - timedelta(seconds=5)
    sent = [put(events, name, {"n": n}, bus=name) for n in range(3)]
    put(events, "else", {}, bus=name)
    assert {event["id"] for event in one.events(3)} == set(sent)
    assert len(other.events(3)) == 3
    assert events.describe_archive(ArchiveName=name)["EventCount"] == 3

    only = events.describe_rule(Name=f"{name}-one", EventBusName=name)["Arn"]
    started = events.start_replay(
        ReplayName=name,
        EventSourceArn=archive,
        EventStartTime=begun,
        EventEndTime=datetime.now(UTC) + timedelta(seconds=5),
        Destination={"Arn": bus, "FilterArns": [only]},
    )
    assert started["State"] == "STARTING"
    again = one.events(3)
    assert {event["id"] for event in again} == set(sent)
    assert all(event["replay-name"] == name for event in again)
    assert "Messages" not in sqs.receive_message(QueueUrl=other.url)
    shown = events.describe_replay(ReplayName=name)
    assert shown["State"] in ("RUNNING", "COMPLETED")
    assert events.describe_archive(ArchiveName=name)["EventCount"] == 3


def test_what_was_acknowledged_outlives_a_kill(new_server, name):
    server = new_server().start()
    events, sqs = server.client("events"), server.client("sqs")
    queue = rule_to(events, sqs, name, {"source": [name]})
    bus = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"
    events.create_archive(ArchiveName=name, EventSourceArn=bus)
    sent = {put(events, name, {"n": n}) for n in range(20)}
    server.kill()
    server.start()
    queue.sqs = server.client("sqs")
    queue.url = queue.sqs.get_queue_url(QueueName=name)["QueueUrl"]
    assert {event["id"] for event in queue.events(20)} == sent
    events = server.client("events")
    assert events.describe_archive(ArchiveName=name)["EventCount"] == 20
    late = put(events, name, {"n": "late"})
    assert [event["id"] for event in queue.events()] == [late]


class Endpoint:
    """Keeps requests, and answers them as it is told to."""

    def __init__(self):
        self.requests, self.answers = [], {}
        self.arrived = threading.Condition()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                path = self.path.split("?")[0]
                with outer.arrived:
                    headers = {name.lower(): value for name, value in self.headers.items()}
                    outer.requests.append((self.path, headers, body.decode()))
                    answers = outer.answers.get(path, [(200, "{}")])
                    status, text = answers.pop(0) if len(answers) > 1 else answers[0]
                    outer.arrived.notify_all()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def of(self, path, count=1, timeout_s=30):
        def found():
            return [it for it in self.requests if it[0].split("?")[0] == path]

        with self.arrived:
            assert self.arrived.wait_for(lambda: len(found()) >= count, timeout_s), self.requests
            return found()


@pytest.fixture
def endpoint():
    endpoint = Endpoint()
    yield endpoint
    endpoint.server.shutdown()
    endpoint.server.server_close()


def test_an_api_destination_is_sent_requests_with_its_connections_credentials(
    events, endpoint, name
):
    token = json.dumps({"access_token": "token-1", "expires_in": 3600})
    endpoint.answers = {"/token": [(200, token)], "/orders/o-1": [(503, ""), (200, "")]}
    connection = events.create_connection(
        Name=name,
        AuthorizationType="OAUTH_CLIENT_CREDENTIALS",
        AuthParameters={
            "OAuthParameters": {
                "ClientParameters": {"ClientID": "id", "ClientSecret": "secret"},
                "AuthorizationEndpoint": f"{endpoint.url}/token",
                "HttpMethod": "POST",
            },
            "InvocationHttpParameters": {
                "HeaderParameters": [{"Key": "x-own", "Value": "1", "IsValueSecret": False}]
            },
        },
    )
    assert connection["ConnectionState"] == "AUTHORIZING"
    (asked,) = endpoint.of("/token")
    assert "client_id=id&client_secret=secret" in asked[2]
    destination = events.create_api_destination(
        Name=name,
        ConnectionArn=connection["ConnectionArn"],
        InvocationEndpoint=f"{endpoint.url}/orders/*",
        HttpMethod="POST",
    )["ApiDestinationArn"]
    events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))
    http_parameters = {
        "PathParameterValues": ["$.detail.id"],
        "QueryStringParameters": {"kind": "$.detail-type"},
    }
    target = {"Id": "api", "Arn": destination, "HttpParameters": http_parameters}
    events.put_targets(Rule=name, Targets=[target])
    put(events, name, {"id": "o-1"})
    # The first answer was that it is not there; it is tried again.
    _, (path, headers, body) = endpoint.of("/orders/o-1", count=2)
    assert path == "/orders/o-1?kind=made"
    assert headers["authorization"] == "Bearer token-1" and headers["x-own"] == "1"
    assert json.loads(body)["detail"] == {"id": "o-1"}
    assert len(endpoint.of("/token")) == 1, "the token is kept"


def test_basic_credentials_and_keys_go_with_requests(events, endpoint, name):
    kinds = {
        "BASIC": {"BasicAuthParameters": {"Username": "user", "Password": "pass"}},
        "API_KEY": {"ApiKeyAuthParameters": {"ApiKeyName": "X-Key", "ApiKeyValue": "k-1"}},
    }
    events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))
    for kind, parameters in kinds.items():
        connection = events.create_connection(
            Name=f"{name}-{kind}", AuthorizationType=kind, AuthParameters=parameters
        )
        destination = events.create_api_destination(
            Name=f"{name}-{kind}",
            ConnectionArn=connection["ConnectionArn"],
            InvocationEndpoint=f"{endpoint.url}/{kind}",
            HttpMethod="POST",
        )
        target = {"Id": kind, "Arn": destination["ApiDestinationArn"]}
        events.put_targets(Rule=name, Targets=[target])
    put(events, name, {})
    ((_, basic, _),) = endpoint.of("/BASIC")
    assert basic["authorization"] == "Basic " + base64.b64encode(b"user:pass").decode()
    ((_, key, _),) = endpoint.of("/API_KEY")
    assert key["x-key"] == "k-1"
