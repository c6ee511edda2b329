"""Asynchronous invocation: events that are durable before their 202, retried, and told of."""

import concurrent.futures
import json
import os
import time

import pytest
from botocore.exceptions import ClientError

from conftest import ROLE, function_factory, until_active
from support import sdk
from support.http import request
from support.package import PYTHON, python_package
from support.server import ACCOUNT, REGION
from test_operating import create_database

PATIENCE_S = 60

SAY = """
import json

def handler(event, context):
    said = {"event": event, "id": context.aws_request_id, "arn": context.invoked_function_arn}
    if context.client_context:
        said["custom"] = context.client_context.custom
    print("SAID " + json.dumps(said))
    return {"got": event}
"""

FAIL = """
def handler(event, context):
    raise ValueError("told to")
"""

# Invokes itself, for ever if nobody stops it.
LOOP = """
import boto3

def handler(event, context):
    print("RAN " + str(event))
    boto3.client("lambda").invoke(
        FunctionName=context.function_name, InvocationType="Event", Payload=str(event + 1)
    )
"""

QUEUE_LOOP = """
import boto3

def handler(event, context):
    sqs = boto3.client("sqs")
    for record in event["Records"]:
        print("RAN " + record["body"])
        url = sqs.get_queue_url(QueueName=record["eventSourceARN"].split(":")[-1])["QueueUrl"]
        sqs.send_message(QueueUrl=url, MessageBody=str(int(record["body"]) + 1))
"""


def until(what, patience_s=PATIENCE_S):
    """Waits for what `what` finds and gives it."""
    deadline = time.monotonic() + patience_s
    while not (found := what()):
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.02)
    return found


def printed(server, function, word):
    """What a function printed behind a word, line by line, as JSON."""
    page = request(server, "GET", f"{server.url}/_lambent/logs?function={function}")
    assert page.status == 200
    lines = (json.loads(line)["message"] for line in page.body.decode().splitlines())
    return [json.loads(line.removeprefix(word)) for line in lines if line.startswith(word + " ")]


def received(sqs, url, patience_s=PATIENCE_S):
    """The next message of a queue, deleted."""

    def receive():
        answer = sqs.receive_message(
            QueueUrl=url,
            WaitTimeSeconds=5,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        )
        return answer.get("Messages")

    [message] = until(receive, patience_s)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return message


def event(client, function, payload, **options):
    """Sends an event and gives its request id."""
    answer = client.invoke(
        FunctionName=function,
        InvocationType="Event",
        Payload=json.dumps(payload).encode(),
        **options,
    )
    assert answer["StatusCode"] == 202
    assert answer["Payload"].read() == b""
    assert "ExecutedVersion" not in answer and "FunctionError" not in answer
    return answer["ResponseMetadata"]["RequestId"]


def to_queue(arn, on="OnFailure"):
    return {"DestinationConfig": {on: {"Destination": arn}}}


@pytest.fixture(scope="session")
def sqs(server):
    return server.client("sqs")


@pytest.fixture
def make_queue(sqs, name):
    """Creates queues, and removes them after the test; gives URL and ARN."""
    made = []

    def make(**attributes):
        queue = f"{name}-{len(made)}"
        url = sqs.create_queue(QueueName=queue, Attributes=attributes)["QueueUrl"]
        made.append(url)
        return url, f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"

    yield make
    for url in made:
        sqs.delete_queue(QueueUrl=url)


class TestEvents:
    def test_an_event_runs_as_the_request_of_its_202(self, server, client, make_function):
        function = make_function(SAY)
        request_id = event(client, function, {"n": 1}, ClientContext="eyJjdXN0b20iOnsiYSI6MX19")
        [said] = until(lambda: printed(server, function, "SAID"))
        assert said["event"] == {"n": 1}
        assert said["id"] == request_id
        assert said["arn"] == f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}"
        assert said["custom"] == {"a": 1}

    def test_by_awss_own_command(self, server, make_function, tmp_path):
        function, out = make_function(SAY), tmp_path / "out"
        run = server.aws(
            *("lambda", "invoke", "--function-name", function, "--invocation-type", "Event"),
            *("--cli-binary-format", "raw-in-base64-out", "--payload", '{"n": 2}', str(out)),
        )
        if "Unknown options: --cli-binary-format" in run.stderr:
            run = server.aws(
                *("lambda", "invoke", "--function-name", function, "--invocation-type", "Event"),
                *("--payload", '{"n": 2}', str(out)),
            )
        assert run.returncode == 0, run.stderr
        assert json.loads(run.stdout) == {"StatusCode": 202}
        assert out.read_bytes() == b""
        [said] = until(lambda: printed(server, function, "SAID"))
        assert said["event"] == {"n": 2}

    def test_the_older_form(self, server, client, make_function):
        function = make_function(SAY)
        assert client.invoke_async(FunctionName=function, InvokeArgs=b"[3]")["Status"] == 202
        [said] = until(lambda: printed(server, function, "SAID"))
        assert said["event"] == [3]

    def test_what_cannot_run_is_refused_at_once(self, client, make_function):
        function = make_function(SAY)

        def refused(code, **options):
            arguments = {"FunctionName": function, "InvocationType": "Event"} | options
            with pytest.raises(ClientError) as caught:
                client.invoke(**arguments)
            assert caught.value.response["Error"]["Code"] == code
            return caught.value.response["Error"]["Message"]

        refused("ResourceNotFoundException", FunctionName="nobody")
        refused("InvalidRequestContentException", Payload=b"{")
        large = b'"' + b"x" * 1_048_575 + b'"'
        message = refused("RequestTooLargeException", Payload=large)
        assert message.startswith("1048577 byte payload is too large for the Event invocation type")
        event(client, function, "x" * 1_048_574)

    def test_no_client_sees_its_queue(self, server, client, sqs, make_function):
        function = make_function(SAY)
        event(client, function, 1)
        until(lambda: printed(server, function, "SAID"))
        assert not any(function in url for url in sqs.list_queues().get("QueueUrls", []))
        page = request(server, "GET", f"{server.url}/_lambent/metrics")
        metrics = page.body.decode()
        assert 'lambent_async_events{state="waiting"}' in metrics
        assert "lambent_async_events_received_total" in metrics


class TestEnds:
    def test_a_failure_is_told_to_a_queue_and_a_dead_letter_queue(
        self, client, sqs, make_function, make_queue
    ):
        (records, record_arn), (letters, letter_arn) = make_queue(), make_queue()
        function = make_function(FAIL, DeadLetterConfig={"TargetArn": letter_arn})
        shown = client.get_function_configuration(FunctionName=function)
        assert shown["DeadLetterConfig"] == {"TargetArn": letter_arn}
        client.put_function_event_invoke_config(
            FunctionName=function, MaximumRetryAttempts=0, **to_queue(record_arn)
        )
        request_id = event(client, function, {"n": 1})
        record = json.loads(received(sqs, records)["Body"])
        assert record["version"] == "1.0"
        assert record["requestContext"] == {
            "requestId": request_id,
            "functionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": 1,
        }
        assert record["requestPayload"] == {"n": 1}
        assert record["responseContext"] == {
            "statusCode": 200,
            "executedVersion": "$LATEST",
            "functionError": "Unhandled",
        }
        assert record["responsePayload"]["errorMessage"] == "told to"
        letter = received(sqs, letters)
        assert json.loads(letter["Body"]) == {"n": 1}
        assert letter["MessageAttributes"] == {
            "RequestID": {"StringValue": request_id, "DataType": "String"},
            "ErrorCode": {"StringValue": "200", "DataType": "Number"},
            "ErrorMessage": {"StringValue": "told to", "DataType": "String"},
        }
        # One without an ARN changes nothing, as in Lambda.
        for config, held in [({}, {"TargetArn": letter_arn}), ({"TargetArn": ""}, None)]:
            until_active(client, function)
            client.update_function_configuration(FunctionName=function, DeadLetterConfig=config)
            shown = client.get_function_configuration(FunctionName=function)
            assert shown.get("DeadLetterConfig") == held

    def test_success_is_told_to_a_function(self, server, client, make_function):
        first, second = make_function(SAY), make_function(SAY)
        arn = client.get_function_configuration(FunctionName=second)["FunctionArn"]
        client.put_function_event_invoke_config(
            FunctionName=first, **to_queue(arn, on="OnSuccess")
        )
        request_id = event(client, first, "hello")
        [said] = until(lambda: printed(server, second, "SAID"))
        record = said["event"]
        assert record["requestContext"]["requestId"] == request_id
        assert record["requestContext"]["condition"] == "Success"
        assert record["requestPayload"] == "hello"
        assert record["responsePayload"] == {"got": "hello"}
        assert said["id"] != request_id

    def test_a_function_that_is_off_gives_its_events_away(
        self, client, sqs, make_function, make_queue
    ):
        function, (url, arn) = make_function(SAY), make_queue()
        client.put_function_event_invoke_config(FunctionName=function, **to_queue(arn))
        client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
        event(client, function, 1)
        record = json.loads(received(sqs, url)["Body"])
        assert record["requestContext"]["condition"] == "ZeroReservedConcurrency"

    def test_a_bucket_is_refused_by_name_and_what_is_not_there_as_invalid(
        self, client, make_function
    ):
        function = make_function(SAY)

        def refused(arn):
            with pytest.raises(ClientError) as caught:
                client.put_function_event_invoke_config(FunctionName=function, **to_queue(arn))
            error = caught.value.response["Error"]
            assert error["Code"] == "InvalidParameterValueException"
            return error["Message"]

        assert "bucket" in refused("arn:aws:s3:::thing")
        assert "is invalid" in refused(f"arn:aws:sqs:{REGION}:{ACCOUNT}:none")


class TestSettings:
    def test_by_awss_own_command(self, server, make_function, make_queue):
        function, (_, arn) = make_function(SAY), make_queue()

        def aws(*arguments):
            run = server.aws("lambda", *arguments, "--function-name", function)
            assert run.returncode == 0, run.stderr
            return json.loads(run.stdout) if run.stdout else None

        put = aws(
            "put-function-event-invoke-config",
            *("--maximum-retry-attempts", "1", "--maximum-event-age-in-seconds", "60"),
        )
        assert (put["MaximumRetryAttempts"], put["MaximumEventAgeInSeconds"]) == (1, 60)
        assert put["FunctionArn"].endswith(f":function:{function}:$LATEST")
        assert put["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {}}
        updated = aws(
            "update-function-event-invoke-config",
            *("--destination-config", json.dumps({"OnFailure": {"Destination": arn}})),
        )
        assert updated["MaximumRetryAttempts"] == 1
        assert updated["DestinationConfig"]["OnFailure"] == {"Destination": arn}
        assert aws("get-function-event-invoke-config") == updated
        listed = aws("list-function-event-invoke-configs")
        assert listed["FunctionEventInvokeConfigs"] == [updated]
        aws("delete-function-event-invoke-config")
        assert aws("list-function-event-invoke-configs")["FunctionEventInvokeConfigs"] == []

    def test_of_recursion(self, client, make_function):
        function = make_function(SAY)
        get = lambda: client.get_function_recursion_config(FunctionName=function)["RecursiveLoop"]
        assert get() == "Terminate"
        put = client.put_function_recursion_config(FunctionName=function, RecursiveLoop="Allow")
        assert put["RecursiveLoop"] == get() == "Allow"


class TestLoops:
    """SDKs inside functions pass the trace header on, also through queues."""

    def test_a_function_that_invokes_itself_is_stopped(
        self, server, client, sqs, make_function, make_queue
    ):
        function = make_function(zip_file=sdk.python_package(LOOP), Timeout=30)
        url, arn = make_queue()
        client.put_function_event_invoke_config(FunctionName=function, **to_queue(arn))
        event(client, function, 1)
        record = json.loads(received(sqs, url)["Body"])
        assert record["requestContext"]["condition"] == "RecursiveInvocation"
        assert record["requestPayload"] == 17
        assert printed(server, function, "RAN") == list(range(1, 17))

    def test_one_that_feeds_its_own_queue_is_stopped(
        self, server, client, sqs, make_function, make_queue
    ):
        dead_url, dead_arn = make_queue()
        redrive = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 1})
        url, arn = make_queue(VisibilityTimeout="30", RedrivePolicy=redrive)
        function = make_function(zip_file=sdk.python_package(QUEUE_LOOP), Timeout=30)
        mapping = client.create_event_source_mapping(FunctionName=function, EventSourceArn=arn)
        try:
            sqs.send_message(QueueUrl=url, MessageBody="1")
            until(lambda: 16 in printed(server, function, "RAN"))
            sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "1"})
            assert received(sqs, dead_url, 120)["Body"] == "17"
            assert printed(server, function, "RAN") == list(range(1, 17))
        finally:
            client.delete_event_source_mapping(UUID=mapping["UUID"])


class TestCrash:
    """Killed at once after the last 202, over and over: of every event there is a record."""

    ROUNDS, EVENTS = 6, 16

    def check(self, server):
        server.start()
        client, sqs = server.client(), server.client("sqs")
        client.create_function(
            FunctionName="f",
            Runtime=PYTHON,
            Handler="index.handler",
            Role=ROLE,
            Timeout=10,
            Code={"ZipFile": python_package(SAY)},
        )
        until(lambda: client.get_function(FunctionName="f")["Configuration"]["State"] == "Active")
        sqs.create_queue(QueueName="done")
        client.put_function_event_invoke_config(
            FunctionName="f", **to_queue(f"arn:aws:sqs:{REGION}:{ACCOUNT}:done", on="OnSuccess")
        )
        accepted = {}
        for round_ in range(self.ROUNDS):
            client = server.client()
            with concurrent.futures.ThreadPoolExecutor(self.EVENTS) as pool:
                numbers = [round_ * self.EVENTS + at for at in range(self.EVENTS)]
                ids = pool.map(lambda number: event(client, "f", number), numbers)
                accepted |= dict(zip(numbers, ids))
            server.kill()
            server.start()
        sqs, told = server.client("sqs"), {}
        url = sqs.get_queue_url(QueueName="done")["QueueUrl"]

        def all_told():
            answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            for message in answer.get("Messages", []):
                record = json.loads(message["Body"])
                told[record["requestPayload"]] = record["requestContext"]["requestId"]
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            return told.keys() >= accepted.keys()

        until(all_told, 120)
        assert told == accepted
        assert server.stop() == 0

    def test_on_sqlite(self, new_server):
        self.check(new_server())

    def test_on_postgres(self, new_server):
        url = os.environ["LAMBENT_TEST_POSTGRES"]
        database = f"lambent_events_{os.getpid()}"
        create_database(url, database)
        self.check(new_server("--store", url.rsplit("/", 1)[0] + "/" + database))

    def test_an_event_that_ran_at_the_end_is_run_again(self, new_server):
        code = "import time\ndef handler(event, context):\n    print('RAN 1')\n    time.sleep(event)\n"
        server = new_server().start()
        client = server.client()
        make = function_factory(client, "slow")
        function = next(make)(code, Timeout=60)
        event(client, function, 3)
        until(lambda: printed(server, function, "RAN"))
        assert server.stop(timeout=60) == 0
        server.start()
        metrics = lambda: request(server, "GET", f"{server.url}/_lambent/metrics").body.decode()
        until(lambda: 'lambent_async_events{state="running"} 0' in metrics())
        assert len(printed(server, function, "RAN")) >= 1


class TestDeletion:
    def test_events_go_with_their_function(self, server, client, make_function):
        function = make_function(FAIL)
        event(client, function, 1)
        metrics = lambda: request(server, "GET", f"{server.url}/_lambent/metrics").body.decode()
        dropped = lambda: float(
            metrics().split('lambent_async_events_dropped_total{cause="deleted"} ')[1].split()[0]
        )
        before = dropped()
        until(lambda: 'lambent_async_events{state="delayed"} 0' not in metrics())
        client.delete_function(FunctionName=function)
        until(lambda: dropped() > before)
        again = make_function(SAY, FunctionName=function)
        assert again == function
        event(client, function, 2)
        until(lambda: printed(server, function, "SAID"))
        assert [said["event"] for said in printed(server, function, "SAID")] == [2]
