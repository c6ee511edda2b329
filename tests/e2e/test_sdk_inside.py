"""AWS's SDKs inside functions: with no settings and no outbound network they reach the platform, as
the function and as nobody else."""

import json
import os
import pathlib
import time
import urllib.request

import boto3
import pytest
from botocore.exceptions import ClientError

from conftest import function_factory, until_active
from support import sdk
from support.package import CUSTOM, NODE, PYTHON, payload_of
from support.server import ACCOUNT, REGION, credentials

OTHER_ACCOUNT = "111122223333"

# Does as the event says, and tells what came of it.
PYTHON_CALL = """
import boto3, botocore.exceptions, os, urllib.error, urllib.request

def handler(event, context):
    if "get" in event:
        return get(event["get"])
    if "variables" in event:
        return {name: os.environ.get(name) for name in event["variables"]}
    client = boto3.client(event["service"], **event.get("options", {}))
    try:
        answer = getattr(client, event["call"])(**event.get("with", {}))
    except botocore.exceptions.ClientError as error:
        return {"error": error.response["Error"]["Code"]}
    answer.pop("ResponseMetadata", None)
    if "Payload" in answer:
        answer["Payload"] = answer["Payload"].read().decode()
    return answer

def get(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return {"status": answer.status, "body": answer.read().decode("latin-1")}
    except urllib.error.HTTPError as error:
        return {"status": error.code, "body": error.read().decode("latin-1")}
"""

PYTHON_QUEUE = """
import boto3

sqs = boto3.client("sqs")

def handler(event, context):
    url = sqs.get_queue_url(QueueName=event["queue"])["QueueUrl"]
    sent = sqs.send_message(QueueUrl=url, MessageBody=event["body"])
    received = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10)["Messages"][0]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=received["ReceiptHandle"])
    same = received["MessageId"] == sent["MessageId"]
    return {"url": url, "body": received["Body"], "same": same}
"""

NODE_QUEUE = """
import {
  SQSClient, DeleteMessageCommand, GetQueueUrlCommand, ReceiveMessageCommand, SendMessageCommand,
} from "@aws-sdk/client-sqs";

const sqs = new SQSClient();

export async function handler(event) {
  const named = await sqs.send(new GetQueueUrlCommand({ QueueName: event.queue }));
  // One that somebody made outside leads here too.
  const QueueUrl = event.url ?? named.QueueUrl;
  const sent = await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: event.body }));
  const { Messages } = await sqs.send(
    new ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 10 }));
  const { MessageId, ReceiptHandle, Body } = Messages[0];
  await sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }));
  return { url: QueueUrl, body: Body, same: MessageId === sent.MessageId };
}
"""


@pytest.fixture(scope="module")
def sqs(server):
    return server.client("sqs")


@pytest.fixture
def queue(sqs, name):
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    yield name
    sqs.delete_queue(QueueUrl=url)


@pytest.fixture
def make_offline(make_function):
    """Functions with an SDK and without a network."""

    def make(zip_file, **options):
        options = {"MemorySize": 512, "Timeout": 60} | options
        return make_function(zip_file=zip_file, Tags={"lambent:network": "off"}, **options)

    return make


@pytest.fixture
def caller(make_offline):
    return make_offline(sdk.python_package(PYTHON_CALL))


def python_queue():
    return sdk.python_package(PYTHON_QUEUE), PYTHON


def node_queue():
    return sdk.node_package(NODE_QUEUE), NODE


def rust_queue():
    return sdk.rust_package(), CUSTOM


@pytest.mark.parametrize("package", [python_queue, node_queue, rust_queue])
def test_messages_are_sent_and_received(make_offline, invoke, server, queue, package):
    zip_file, runtime = package()
    function = make_offline(zip_file, Runtime=runtime)
    for body in ("first", "and again, warm"):
        answer = payload_of(invoke(function, {"queue": queue, "body": body}))
        url = f"http://127.0.0.1:{server.port}/{ACCOUNT}/{queue}"
        assert answer == {"url": url, "body": body, "same": True}


@pytest.mark.parametrize("host", ["localhost", f"sqs.{REGION}.localhost"])
def test_a_queue_url_made_outside_leads_there(make_offline, invoke, server, queue, host):
    # The JavaScript SDK sends to the URL's host, whatever the endpoint is.
    function = make_offline(sdk.node_package(NODE_QUEUE), Runtime=NODE)
    url = f"http://{host}:{server.port}/{ACCOUNT}/{queue}"
    answer = payload_of(invoke(function, {"queue": queue, "url": url, "body": "from outside"}))
    assert answer == {"url": url, "body": "from outside", "same": True}


def test_a_sender_is_known_by_its_role(caller, invoke, sqs, queue):
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    send = {"QueueUrl": url, "MessageBody": "x"}
    sent = payload_of(invoke(caller, {"service": "sqs", "call": "send_message", "with": send}))
    assert sent["MessageId"]
    received = sqs.receive_message(QueueUrl=url, MessageSystemAttributeNames=["SenderId"])
    sender = received["Messages"][0]["Attributes"]["SenderId"]
    assert sender.startswith("AROA") and sender.endswith(f":{caller}")


def test_functions_are_listed_and_invoked(make_function, invoke, caller):
    echo = make_function("def handler(event, context): return event")
    listed = payload_of(invoke(caller, {"service": "lambda", "call": "list_functions"}))
    assert {echo, caller} <= {one["FunctionName"] for one in listed["Functions"]}
    call = {"FunctionName": echo, "Payload": '{"n": 7}'}
    called = payload_of(invoke(caller, {"service": "lambda", "call": "invoke", "with": call}))
    assert json.loads(called["Payload"]) == {"n": 7}


def test_a_functions_own_endpoint_wins(make_offline, invoke):
    variables = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    function = make_offline(
        sdk.python_package(PYTHON_CALL), Environment={"Variables": variables}
    )
    answer = payload_of(invoke(function, {"variables": ["AWS_ENDPOINT_URL"]}))
    assert answer == variables


def test_no_function_sets_its_own_credentials(make_function):
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        with pytest.raises(ClientError, match="reserved keys"):
            make_function("", Environment={"Variables": {variable: "x"}})


@pytest.mark.parametrize("key", ["test", OTHER_ACCOUNT])
def test_no_function_becomes_another_account(make_offline, invoke, server, name, key):
    """In development an access key id names the account, but not to a function."""
    other = server.client(key=OTHER_ACCOUNT)
    functions = function_factory(other, f"{name}-theirs")
    theirs = next(functions)("def handler(event, context): return event")
    function = make_offline(sdk.python_package(PYTHON_CALL))
    options = {"aws_access_key_id": key, "aws_secret_access_key": "x", "aws_session_token": "y"}
    ask = {"service": "lambda", "call": "list_functions", "options": options}
    names = [one["FunctionName"] for one in payload_of(invoke(function, ask))["Functions"]]
    assert function in names and theirs not in names
    next(functions, None)


def test_credentials_are_those_of_an_environment_and_end_with_it(
    server, make_offline, invoke, client
):
    function = make_offline(sdk.python_package(PYTHON_CALL))
    names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]
    first = payload_of(invoke(function, {"variables": names}))
    key, secret, token = (first[name] for name in names)
    assert key.startswith("ASIA")

    def listed(**changes):
        given = {"key": key, "secret": secret, "aws_session_token": token} | changes
        outside = outside_client(server, **given)
        try:
            return outside.list_functions()["Functions"]
        except ClientError as error:
            return error.response["Error"]["Code"]

    # Passed on, they are good as long as the environment lives, and only as they are.
    assert function in [one["FunctionName"] for one in listed()]
    assert listed(secret="x" * 40) == "InvalidSignatureException"
    assert listed(aws_session_token="x") == "UnrecognizedClientException"
    assert listed(aws_session_token=None) == "UnrecognizedClientException"
    client.update_function_configuration(FunctionName=function, Description="another")
    until_active(client, function)
    second = payload_of(invoke(function, {"variables": names}))
    assert second["AWS_ACCESS_KEY_ID"] != key
    deadline = time.monotonic() + 10
    while listed() != "ExpiredTokenException":
        assert time.monotonic() < deadline, "the environment of before ends at once"


def outside_client(server, key, secret, aws_session_token):
    return boto3.client(
        "lambda",
        endpoint_url=server.url,
        region_name=REGION,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=aws_session_token,
    )


def test_with_credentials_a_function_is_its_role_or_whoever_it_can_sign_for(new_server, tmp_path):
    server = new_server(*credentials(tmp_path, "AKIAOPERATOR", "hunter2")).start()
    client = server.client(key="AKIAOPERATOR", secret="hunter2")
    functions = function_factory(client, "caller")
    function = next(functions)(
        zip_file=sdk.python_package(PYTHON_CALL), MemorySize=512, Timeout=60
    )

    def ask(key=None, secret="x", **event):
        options = {"aws_access_key_id": key, "aws_secret_access_key": secret} if key else {}
        event = {"service": "lambda", "call": "list_functions", "options": options} | event
        return payload_of(client.invoke(FunctionName=function, Payload=json.dumps(event)))

    own = ask()
    assert [one["FunctionName"] for one in own["Functions"]] == [function]
    assert ask("AKIAOPERATOR", "hunter2") == own
    assert ask("AKIAOPERATOR", "guessed") == {"error": "InvalidSignatureException"}
    assert ask("test") == {"error": "UnrecognizedClientException"}
    next(functions, None)


@pytest.mark.parametrize(
    "path, status",
    [
        ("health", 200),
        ("metrics", 404),
        ("environments", 404),
        ("usage", 404),
        ("logs?function=x", 404),
    ],
)
def test_operators_endpoints_are_out_of_reach(invoke, server, caller, path, status):
    url = f"http://127.0.0.1:{server.port}/_lambent/{path}"
    assert payload_of(invoke(caller, {"get": url}))["status"] == status


def test_the_link_to_a_package_leads_inside_too(client, invoke, caller):
    url = client.get_function(FunctionName=caller)["Code"]["Location"]
    answer = payload_of(invoke(caller, {"get": url.replace("127.0.0.1", "localhost")}))
    # Larger than what a function may answer.
    assert answer.get("status", 413) in (200, 413)


def test_a_function_url_is_reached_from_inside(client, make_function, invoke, server, caller):
    hello = make_function("def handler(event, context): return event['rawPath']")
    made = client.create_function_url_config(FunctionName=hello, AuthType="NONE")
    client.add_permission(
        FunctionName=hello,
        StatementId="all",
        Action="lambda:InvokeFunctionUrl",
        Principal="*",
        FunctionUrlAuthType="NONE",
    )
    url_id = made["FunctionUrl"].split("/")[2].split(".")[0]
    url = f"http://localhost:{server.port}/_lambent/url/{url_id}/some/path"
    assert payload_of(invoke(caller, {"get": url})) == {"status": 200, "body": "/some/path"}


def test_without_isolation_credentials_alone_say_who_calls(new_server):
    server = new_server("--isolation", "none").start()
    client = server.client(key=OTHER_ACCOUNT)
    functions = function_factory(client, "caller")
    function = next(functions)(
        zip_file=sdk.python_package(PYTHON_CALL), MemorySize=512, Timeout=60
    )
    event = {"service": "lambda", "call": "list_functions"}
    answer = payload_of(client.invoke(FunctionName=function, Payload=json.dumps(event)))
    (own,) = answer["Functions"]
    assert own["FunctionArn"] == f"arn:aws:lambda:{REGION}:{OTHER_ACCOUNT}:function:{function}"
    next(functions, None)


# Opens so many connections as the event says and holds them; then asks whether one still serves.
CONNECTIONS = """
import http.client, os, socket
from urllib.parse import urlsplit

held = []

def handler(event, context):
    address = urlsplit(os.environ["AWS_ENDPOINT_URL"])
    for _ in range(event.get("open", 0)):
        try:
            one = socket.create_connection((address.hostname, address.port))
            one.sendall(b"GET /_lambent/health HTTP/1.1\\r\\n")
            held.append(one)
        except OSError:
            pass
    try:
        if "ask" in event:
            own = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
            own.request("GET", "/_lambent/health")
            return own.getresponse().status
    except (OSError, http.client.HTTPException):
        return "refused"
    return len(held)
"""


def test_who_takes_all_connections_takes_its_own_only(make_function, invoke):
    greedy = make_function(CONNECTIONS, Timeout=30)
    modest = make_function(CONNECTIONS, FunctionName=f"{greedy}-modest")
    assert payload_of(invoke(greedy, {"open": 600})) > 500
    assert payload_of(invoke(greedy, {"ask": True})) == "refused"
    assert payload_of(invoke(modest, {"ask": True})) == 200


def test_a_connection_survives_a_freeze(make_function, invoke, server):
    """boto3 keeps its connections; an environment that was frozen goes on with them."""
    code = """
        import http.client, os
        from urllib.parse import urlsplit

        address = urlsplit(os.environ["AWS_ENDPOINT_URL"])
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
        connection.connect()
        socket = connection.sock

        def handler(event, context):
            connection.request("GET", "/_lambent/health")
            answer = connection.getresponse()
            answer.read()
            return [answer.status, connection.sock is socket]
    """
    function = make_function(code)
    assert payload_of(invoke(function)) == [200, True]
    deadline = time.monotonic() + 10
    while state_of(server, function) != "frozen":
        assert time.monotonic() < deadline
    assert payload_of(invoke(function)) == [200, True]


def state_of(server, function):
    """What its one environment is doing, as an operator sees it."""
    with urllib.request.urlopen(f"{server.url}/_lambent/environments") as answer:
        environments = json.load(answer)["environments"]
    (state,) = [one["state"] for one in environments if one["function"] == function]
    return state


def test_an_operators_packages_are_there_for_all(new_server):
    """What `--python-packages` and `--node-packages` name is found as if Lambda had brought it."""
    packages = pathlib.Path(boto3.__file__).parent.parent
    server = new_server(
        "--python-packages", str(packages), "--node-packages", os.environ["LAMBENT_TEST_NODE"]
    ).start()
    client = server.client()
    queue_url = server.client("sqs").create_queue(QueueName="jobs")["QueueUrl"]
    assert queue_url
    for number, (code, file, runtime) in enumerate(
        [(PYTHON_QUEUE, "index.py", PYTHON), (NODE_QUEUE, "index.mjs", NODE)]
    ):
        functions = function_factory(client, f"without-{number}")
        options = {"Runtime": runtime, "MemorySize": 512, "Timeout": 60}
        function = next(functions)(files={file: code}, **options)
        event = json.dumps({"queue": "jobs", "body": "x"})
        answer = payload_of(client.invoke(FunctionName=function, Payload=event))
        assert answer["same"], answer
        next(functions, None)
