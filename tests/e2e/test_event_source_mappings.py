"""Event source mappings: queues that wake functions."""

import json
import time

import pytest
from botocore.exceptions import ClientError

from conftest import ROLE
from support.http import request
from support.package import PYTHON, python_package
from support.server import ACCOUNT, REGION

PATIENCE_S = 30

# Prints what it got; some of it is too much for it.
KEEP = """
import json

def handler(event, context):
    print("GOT " + json.dumps([r["body"] for r in event["Records"]]))
    for record in event["Records"]:
        first = record["attributes"]["ApproximateReceiveCount"] == "1"
        if record["body"].startswith("fail always") or record["body"].startswith("fail") and first:
            raise RuntimeError("told to")
"""

REPORT = """
import json

def handler(event, context):
    print("GOT " + json.dumps([r["body"] for r in event["Records"]]))
    def fails(record):
        first = record["attributes"]["ApproximateReceiveCount"] == "1"
        return record["body"].startswith("bad") and first
    failed = [r["messageId"] for r in event["Records"] if fails(r)]
    return {"batchItemFailures": [{"itemIdentifier": each} for each in failed]}
"""

EVENT = """
import json

def handler(event, context):
    print("EVENT " + json.dumps(event))
"""


def until(what, patience_s=PATIENCE_S):
    """Waits for what `what` finds and gives it."""
    deadline = time.monotonic() + patience_s
    while not (found := what()):
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.02)
    return found


@pytest.fixture(scope="session")
def sqs(server):
    return server.client("sqs")


@pytest.fixture
def make_queue(sqs, name):
    """Creates queues, and removes them after the test; gives URL and ARN."""
    made = []

    def make(suffix="", **attributes):
        queue = f"{name}-{len(made)}{suffix}"
        if suffix == ".fifo":
            attributes |= {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
        url = sqs.create_queue(QueueName=queue, Attributes=attributes)["QueueUrl"]
        made.append(url)
        return url, f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"

    yield make
    for url in made:
        sqs.delete_queue(QueueUrl=url)


@pytest.fixture
def make_mapping(client):
    """Creates mappings that are enabled, and removes them after the test."""
    made = []

    def make(function, queue_arn, wait=True, **options):
        mapping = client.create_event_source_mapping(
            FunctionName=function, EventSourceArn=queue_arn, **options
        )
        made.append(mapping["UUID"])
        if wait:
            state = "Enabled" if options.get("Enabled", True) else "Disabled"
            until_state(client, mapping["UUID"], state)
        return mapping

    yield make
    for uuid in made:
        try:
            client.delete_event_source_mapping(UUID=uuid)
        except ClientError as error:
            assert error.response["Error"]["Code"] in (
                "ResourceNotFoundException",
                "ResourceInUseException",
            )


def until_state(client, uuid, state):
    until(lambda: client.get_event_source_mapping(UUID=uuid)["State"] == state)


def printed(server, function, word):
    """What a function printed behind a word, line by line, as JSON."""
    page = request(server, "GET", f"{server.url}/_lambent/logs?function={function}")
    assert page.status == 200
    lines = (json.loads(line)["message"] for line in page.body.decode().splitlines())
    return [json.loads(line.removeprefix(word)) for line in lines if line.startswith(word + " ")]


def bodies(server, function):
    """The bodies that a function got, in the order in which it printed them."""
    return [body for batch in printed(server, function, "GOT") for body in batch]


def counts(sqs, url):
    names = ["", "NotVisible", "Delayed"]
    names = [f"ApproximateNumberOfMessages{name}" for name in names]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return tuple(int(found[name]) for name in names)


def until_empty(sqs, url):
    until(lambda: counts(sqs, url) == (0, 0, 0))


def send(sqs, url, bodies, **options):
    bodies = list(bodies)
    for at in range(0, len(bodies), 10):
        entries = [
            {"Id": str(number), "MessageBody": body, **options}
            for number, body in enumerate(bodies[at : at + 10])
        ]
        answer = sqs.send_message_batch(QueueUrl=url, Entries=entries)
        assert len(answer["Successful"]) == len(entries)


class TestDelivery:
    def test_every_message_once_and_then_it_is_gone(
        self, server, sqs, make_function, make_queue, make_mapping
    ):
        function, (url, arn) = make_function(KEEP), make_queue()
        make_mapping(function, arn)
        expected = [str(number) for number in range(200)]
        send(sqs, url, expected)
        until_empty(sqs, url)
        assert sorted(bodies(server, function), key=int) == expected
        assert all(len(batch) <= 10 for batch in printed(server, function, "GOT"))

    def test_the_event_is_lambdas(self, server, sqs, make_function, make_queue, make_mapping):
        function, (url, arn) = make_function(EVENT), make_queue()
        make_mapping(function, arn)
        sent = sqs.send_message(
            QueueUrl=url,
            MessageBody="hello",
            MessageAttributes={
                "text": {"DataType": "String", "StringValue": "t"},
                "bytes": {"DataType": "Binary", "BinaryValue": b"abc"},
            },
        )
        until_empty(sqs, url)
        [event] = printed(server, function, "EVENT")
        [record] = event["Records"]
        assert record["messageId"] == sent["MessageId"]
        assert record["body"] == "hello"
        assert record["md5OfBody"] == sent["MD5OfMessageBody"]
        assert record["md5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
        empty = {"stringListValues": [], "binaryListValues": []}
        assert record["messageAttributes"] == {
            "text": {"stringValue": "t", "dataType": "String"} | empty,
            "bytes": {"binaryValue": "YWJj", "dataType": "Binary"} | empty,
        }
        assert record["eventSource"] == "aws:sqs"
        assert record["eventSourceARN"] == arn
        assert record["awsRegion"] == REGION
        assert set(record["attributes"]) == {
            "ApproximateReceiveCount",
            "SentTimestamp",
            "SenderId",
            "ApproximateFirstReceiveTimestamp",
        }

    def test_an_idle_mapping_wakes_at_once(
        self, server, sqs, make_function, make_queue, make_mapping
    ):
        function, (url, arn) = make_function(KEEP), make_queue()
        make_mapping(function, arn)
        send(sqs, url, ["warm"])
        until_empty(sqs, url)
        begun = time.monotonic()
        send(sqs, url, ["now"])
        until_empty(sqs, url)
        assert time.monotonic() - begun < 2

    def test_a_window_gathers(self, server, sqs, make_function, make_queue, make_mapping):
        function, (url, arn) = make_function(KEEP), make_queue()
        make_mapping(function, arn, BatchSize=50, MaximumBatchingWindowInSeconds=3)
        send(sqs, url, (str(number) for number in range(30)))
        until_empty(sqs, url)
        assert [len(batch) for batch in printed(server, function, "GOT")] == [30]

    def test_filters(self, server, sqs, make_function, make_queue, make_mapping):
        function, (url, arn) = make_function(KEEP), make_queue()
        patterns = [{"body": {"kind": ["a"]}}, {"body": [{"prefix": "plain"}]}]
        filters = [{"Pattern": json.dumps(pattern)} for pattern in patterns]
        mapping = make_mapping(function, arn, FilterCriteria={"Filters": filters})
        assert mapping["FilterCriteria"] == {"Filters": filters}
        wanted = [json.dumps({"kind": "a"}), "plain text"]
        send(sqs, url, [*wanted, json.dumps({"kind": "b"}), "other text", "{"])
        until_empty(sqs, url)
        assert sorted(bodies(server, function)) == sorted(wanted)


class TestFailures:
    def test_what_failed_comes_back(self, server, sqs, make_function, make_queue, make_mapping):
        function = make_function(KEEP, Timeout=1)
        url, arn = make_queue(VisibilityTimeout="1")
        make_mapping(function, arn, BatchSize=1)
        send(sqs, url, ["fail first", "good"])
        until_empty(sqs, url)
        assert sorted(bodies(server, function)) == ["fail first", "fail first", "good"]

    def test_only_what_is_reported_comes_back(
        self, server, sqs, make_function, make_queue, make_mapping
    ):
        function = make_function(REPORT, Timeout=1)
        url, arn = make_queue(VisibilityTimeout="1")
        mapping = make_mapping(
            function,
            arn,
            Enabled=False,
            FunctionResponseTypes=["ReportBatchItemFailures"],
        )
        send(sqs, url, ["good 1", "bad 1", "good 2", "bad 2"])
        server.client().update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)
        until_empty(sqs, url)
        seen = sorted(bodies(server, function))
        assert seen == ["bad 1", "bad 1", "bad 2", "bad 2", "good 1", "good 2"]

    def test_what_fails_always_goes_to_the_dead_letter_queue(
        self, server, sqs, make_function, make_queue, make_mapping
    ):
        function = make_function(KEEP, Timeout=1)
        dead_url, dead_arn = make_queue()
        redrive = {"deadLetterTargetArn": dead_arn, "maxReceiveCount": "2"}
        url, arn = make_queue(VisibilityTimeout="1", RedrivePolicy=json.dumps(redrive))
        make_mapping(function, arn)
        send(sqs, url, ["fail always"])
        until(lambda: counts(sqs, dead_url)[0] == 1)
        assert bodies(server, function) == ["fail always"] * 2
        [message] = sqs.receive_message(QueueUrl=dead_url)["Messages"]
        assert message["Body"] == "fail always"

    def test_a_function_without_concurrency_gets_its_messages_later(
        self, server, client, sqs, make_function, make_queue, make_mapping
    ):
        function, (url, arn) = make_function(KEEP), make_queue()
        client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
        make_mapping(function, arn)
        send(sqs, url, ["waits"])
        until(lambda: counts(sqs, url)[1] == 1)
        client.delete_function_concurrency(FunctionName=function)
        until_empty(sqs, url)
        assert bodies(server, function) == ["waits"]


class TestFifo:
    def test_groups_keep_their_order(self, server, sqs, make_function, make_queue, make_mapping):
        function, (url, arn) = make_function(KEEP), make_queue(".fifo")
        make_mapping(function, arn, BatchSize=5)
        for number in range(20):
            entries = [
                {"Id": group, "MessageBody": f"{group} {number}", "MessageGroupId": group}
                for group in "abcdefgh"
            ]
            sqs.send_message_batch(QueueUrl=url, Entries=entries)
        until_empty(sqs, url)
        seen = {}
        for body in bodies(server, function):
            group, number = body.split()
            seen.setdefault(group, []).append(int(number))
        assert seen == {group: list(range(20)) for group in "abcdefgh"}


class TestLife:
    def test_states(self, client, make_function, make_queue, make_mapping):
        function, (_, arn) = make_function(KEEP), make_queue()
        mapping = make_mapping(function, arn, wait=False, Tags={"a": "1"})
        uuid = mapping["UUID"]
        assert mapping["ResponseMetadata"]["HTTPStatusCode"] == 202
        assert mapping["State"] == "Creating"
        assert mapping["StateTransitionReason"] == "USER_INITIATED"
        assert mapping["FunctionResponseTypes"] == []
        until_state(client, uuid, "Enabled")
        assert client.list_tags(Resource=mapping["EventSourceMappingArn"])["Tags"] == {"a": "1"}

        updated = client.update_event_source_mapping(
            UUID=uuid, BatchSize=3, ScalingConfig={"MaximumConcurrency": 7}
        )
        assert updated["BatchSize"] == 3
        assert updated["ScalingConfig"] == {"MaximumConcurrency": 7}
        until_state(client, uuid, "Enabled")
        assert client.update_event_source_mapping(UUID=uuid, Enabled=False)["State"] == "Disabling"
        until_state(client, uuid, "Disabled")

        listed = client.list_event_source_mappings(FunctionName=function, EventSourceArn=arn)
        assert [each["UUID"] for each in listed["EventSourceMappings"]] == [uuid]
        assert client.delete_event_source_mapping(UUID=uuid)["State"] == "Deleting"

        def is_gone():
            try:
                return not client.get_event_source_mapping(UUID=uuid)
            except client.exceptions.ResourceNotFoundException:
                return True

        until(is_gone)

    def test_refusals(self, client, make_function, make_queue, make_mapping):
        function, (_, arn) = make_function(KEEP), make_queue()
        make_mapping(function, arn)
        with pytest.raises(client.exceptions.ResourceConflictException):
            make_mapping(function, arn)
        with pytest.raises(client.exceptions.InvalidParameterValueException) as error:
            make_mapping(function, arn + "-none")
        assert "NonExistentQueue" in str(error.value)
        with pytest.raises(client.exceptions.InvalidParameterValueException) as error:
            stream = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/s"
            make_mapping(function, stream, StartingPosition="LATEST")
        assert "not supported by this platform yet" in str(error.value)

    def test_the_metrics_know(self, server, sqs, make_function, make_queue, make_mapping):
        def count(event):
            page = request(server, "GET", f"{server.url}/_lambent/metrics").body.decode()
            name = f'lambent_event_source_mapping_events_total{{event="{event}"}} '
            [line] = [line for line in page.splitlines() if line.startswith(name)]
            return float(line.removeprefix(name))

        before = {event: count(event) for event in ("polled", "invoked", "deleted")}
        function, (url, arn) = make_function(KEEP), make_queue()
        make_mapping(function, arn)
        send(sqs, url, ["x"])
        until(lambda: all(count(event) > held for event, held in before.items()))


class TestRestarts:
    def make(self, server):
        """A function that is slow, its queue, and a mapping between them."""
        client, sqs = server.client(), server.client("sqs")
        code = KEEP + "    import time\n    time.sleep(0.3)\n"
        client.create_function(
            FunctionName="slow",
            Runtime=PYTHON,
            Handler="index.handler",
            Role=ROLE,
            Timeout=2,
            Code={"ZipFile": python_package(code)},
        )
        until(lambda: client.get_function(FunctionName="slow")["Configuration"]["State"] == "Active")
        url = sqs.create_queue(QueueName="q", Attributes={"VisibilityTimeout": "2"})["QueueUrl"]
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"
        client.create_event_source_mapping(FunctionName="slow", EventSourceArn=arn, BatchSize=1)
        send(sqs, url, (str(number) for number in range(40)))
        until(lambda: counts(sqs, url)[1] > 0)

    def check(self, server):
        sqs = server.client("sqs")
        url = sqs.get_queue_url(QueueName="q")["QueueUrl"]
        until_empty(sqs, url)
        assert set(bodies(server, "slow")) == {str(number) for number in range(40)}

    def test_a_crash_loses_nothing(self, new_server):
        server = new_server().start()
        self.make(server)
        server.kill()
        self.check(server.start())

    def test_the_end_waits_for_what_runs(self, new_server):
        server = new_server().start()
        self.make(server)
        assert server.stop() == 0
        server.start()
        self.check(server)
        # What ran was deleted; nothing was handed out twice.
        assert len(bodies(server, "slow")) == 40
