"""EventBridge Pipes with boto3: from a queue, filtered and enriched, to a target."""

import json

import pytest
from botocore.exceptions import ClientError

from conftest import ROLE
from support import sdk
from support.server import ACCOUNT, REGION
from test_buses import Queue

KEEP = """
import boto3, json, os

def handler(event, context):
    boto3.client("sqs").send_message(QueueUrl=os.environ["QUEUE"], MessageBody=json.dumps(event))
    failed = [e["messageId"] for e in event if "bad" in e["body"]
              and e["attributes"]["ApproximateReceiveCount"] == "1"]
    return {"batchItemFailures": [{"itemIdentifier": one} for one in failed]}
"""

ENRICH = """
import json

def handler(events, context):
    bodies = [json.loads(event["body"]) for event in events]
    return [{"doubled": 2 * body["n"]} for body in bodies if body["n"] != 3]
"""


@pytest.fixture(scope="module")
def pipes(server):
    return server.client("pipes")


@pytest.fixture(scope="module")
def sqs(server):
    return server.client("sqs")


def until_state(pipes, name, state):
    for _ in range(3000):
        shown = pipes.describe_pipe(Name=name)
        if shown["CurrentState"] == state:
            return shown
    raise AssertionError(shown)


@pytest.fixture
def pipe(pipes, name):
    """Makes a pipe that runs, and deletes it after the test."""

    def make(source, target, **options):
        pipes.create_pipe(Name=name, RoleArn=ROLE, Source=source, Target=target, **options)
        return until_state(pipes, name, "RUNNING")

    yield make
    pipes.delete_pipe(Name=name)


def send(queue, *bodies):
    for body in bodies:
        queue.sqs.send_message(QueueUrl=queue.url, MessageBody=json.dumps(body))


def test_what_the_filter_lets_through_is_enriched_and_written_for_the_target(
    client, make_function, pipe, sqs, name
):
    source, target = Queue(sqs, f"{name}-from"), Queue(sqs, f"{name}-to")
    function = make_function(ENRICH)
    arn = client.get_function_configuration(FunctionName=function)["FunctionArn"]
    patterns = [{"Pattern": json.dumps({"body": {"n": [{"numeric": [">", 1]}]}})}]
    shown = pipe(
        source.arn,
        target.arn,
        SourceParameters={"FilterCriteria": {"Filters": patterns}},
        Enrichment=arn,
        TargetParameters={"InputTemplate": '{"pipe": "<aws.pipes.pipe-name>", "is": <$.doubled>}'},
    )
    assert shown["SourceParameters"]["FilterCriteria"]["Filters"] == patterns
    send(source, {"n": 1}, {"n": 2}, {"n": 3}, {"n": 4})
    came = target.events(2)
    assert sorted(event["is"] for event in came) == [4, 8]
    assert all(event["pipe"] == name for event in came)


def test_a_function_gets_a_list_and_what_fails_comes_back(
    client, make_function, pipe, sqs, name
):
    answers = Queue(sqs, f"{name}-answers")
    variables = {"Variables": {"QUEUE": answers.url}}
    function = make_function(zip_file=sdk.python_package(KEEP), Environment=variables)
    arn = client.get_function_configuration(FunctionName=function)["FunctionArn"]
    source = Queue(sqs, f"{name}-from", VisibilityTimeout="1")
    pipe(source.arn, arn)
    send(source, "bad", "good")
    seen = []
    while sum("bad" in body for body in seen) < 2 or not any("good" in body for body in seen):
        seen += [record["body"] for batch in answers.events() for record in batch]


def test_a_bus_gets_events_and_a_stopped_pipe_takes_nothing(server, pipes, pipe, sqs, name):
    events = server.client("events")
    rule = events.put_rule(Name=name, EventPattern=json.dumps({"source": [f"Pipe {name}"]}))
    target = Queue(sqs, f"{name}-to").let_in(rule["RuleArn"])
    events.put_targets(Rule=name, Targets=[{"Id": "q", "Arn": target.arn}])
    source = Queue(sqs, f"{name}-from")
    bus = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"
    pipe(source.arn, bus, TargetParameters={"EventBridgeEventBusParameters": {"DetailType": "seen"}})
    send(source, {"n": 1})
    (event,) = target.events()
    assert event["detail-type"] == "seen" and json.loads(event["detail"]["body"]) == {"n": 1}

    assert pipes.stop_pipe(Name=name)["DesiredState"] == "STOPPED"
    until_state(pipes, name, "STOPPED")
    send(source, {"n": 2})
    waiting = sqs.get_queue_attributes(
        QueueUrl=source.url, AttributeNames=["ApproximateNumberOfMessages"]
    )
    assert waiting["Attributes"]["ApproximateNumberOfMessages"] == "1"
    pipes.start_pipe(Name=name)
    (event,) = target.events()
    assert json.loads(event["detail"]["body"]) == {"n": 2}


def test_what_a_pipe_cannot_be_is_refused_by_name(pipes, sqs, name):
    queue = Queue(sqs, name)
    stream = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/s"
    machine = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:m"
    for source, target, says in ((stream, queue.arn, "Kinesis"), (queue.arn, machine, "states")):
        with pytest.raises(ClientError, match=says):
            pipes.create_pipe(Name=name, RoleArn=ROLE, Source=source, Target=target)
    with pytest.raises(ClientError) as refused:
        pipes.describe_pipe(Name=name)
    assert refused.value.response["Error"]["Code"] == "NotFoundException"
