"""Response streaming: InvokeWithResponseStream and function URLs that answer while the function
still runs."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import urllib.parse

import pytest
from botocore.exceptions import ClientError

from conftest import function_factory
from support import logs, package
from support.gate import NODE_GATE, SIGNATURE, Gate
from support.package import CUSTOM, ECHO, NODE, payload_of
from support.policy import open_to_all

NODE_CLIENT = pathlib.Path(__file__).parent / "node" / "streaming.mjs"
OTHER_ACCOUNT = "111122223333"

# Writes a piece, waits to be released, and writes another.
TWO_PIECES = (
    NODE_GATE
    + """
exports.handler = awslambda.streamifyResponse(async (event, stream, context) => {
  const ask = event.body ? JSON.parse(event.body) : event;
  if (ask.type) stream.setContentType(ask.type);
  stream.write("first");
  await released(ask.gate);
  stream.write("second");
  stream.end();
  if (ask.tell) await tell(ask.gate, "done");
});
"""
)


@pytest.fixture
def gate(server, name):
    made = Gate(server.client("sqs"), name)
    yield made
    made.delete()


@pytest.fixture
def make_node(make_function):
    """Makes a function of a file of Node.js."""

    def make(code, **options):
        return make_function(files={"index.js": code}, Runtime=NODE, **options)

    return make


@pytest.fixture
def open_url(server, client):
    """Gives a function a URL that streams, and calls it; the answer is yet to be read."""
    opened = []

    def call(function, body=None, mode="RESPONSE_STREAM", method="POST"):
        try:
            found = client.get_function_url_config(FunctionName=function)
        except client.exceptions.ResourceNotFoundException:
            found = client.create_function_url_config(
                FunctionName=function, AuthType="NONE", InvokeMode=mode
            )
            open_to_all(client, function)
        host = urllib.parse.urlsplit(found["FunctionUrl"]).netloc
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        opened.append(connection)
        headers = {"Host": host, "Content-Type": "application/json"}
        connection.request(method, "/", None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        answer.leave = lambda: (answer.close(), connection.close())
        opened.append(answer)
        return answer

    yield call
    for one in opened:
        one.close()


def start(client, function, event=None, **options):
    """An invocation that has begun: its answer, and its events as they come."""
    payload = json.dumps({} if event is None else event).encode()
    answer = client.invoke_with_response_stream(FunctionName=function, Payload=payload, **options)
    return answer, iter(answer["EventStream"])


def run(client, function, event=None, **options):
    """One that is over: all that was written, and how it ended."""
    _, events = start(client, function, event, **options)
    return rest(events)


def rest(events):
    *chunks, complete = list(events)
    return b"".join(chunk["PayloadChunk"]["Payload"] for chunk in chunks), complete["InvokeComplete"]


class TestApi:
    def test_the_first_piece_is_there_while_the_function_waits(self, client, make_node, gate):
        function = make_node(TWO_PIECES)
        answer, events = start(client, function, {"gate": gate.urls}, LogType="Tail")
        assert answer["StatusCode"] == 200 and answer["ExecutedVersion"] == "$LATEST"
        assert answer["ResponseStreamContentType"] == "application/vnd.amazon.eventstream"
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        assert headers["x-amz-executed-version"] == "$LATEST"
        assert headers["transfer-encoding"] == "chunked"
        assert headers["x-amzn-trace-id"].startswith("Root=1-")
        assert next(events) == {"PayloadChunk": {"Payload": b"first"}}
        gate.release()
        written, complete = rest(events)
        assert written == b"second"
        report = logs.report(complete)
        assert int(report["billed"]) >= 1 and "ErrorCode" not in complete

    def test_without_a_log_the_last_event_says_nothing(self, client, make_node):
        function = make_node(
            "exports.handler = awslambda.streamifyResponse(async (e, s) => s.end('all'));"
        )
        assert run(client, function) == (b"all", {})
        answer, _ = start(client, function, Qualifier="$LATEST")
        assert answer["StatusCode"] == 200

    def test_a_handler_that_does_not_stream_is_one_piece(self, client, make_function):
        function = make_function(ECHO)
        _, events = start(client, function, {"a": 1})
        assert json.loads(next(events)["PayloadChunk"]["Payload"]) == {"a": 1}
        assert rest(events) == (b"", {})

    def test_invoke_of_a_handler_that_streams_is_whole(self, client, make_node, gate, invoke):
        function = make_node(TWO_PIECES)
        gate.release()
        answer = invoke(function, {"gate": gate.urls})
        assert answer["Payload"].read() == b"firstsecond"

    def test_the_sdk_for_javascript(self, server, make_node, gate):
        function = make_node(TWO_PIECES)
        ended = subprocess.run(
            [shutil.which("node"), NODE_CLIENT, server.url, function, json.dumps(gate.urls)],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ended.returncode == 0, ended.stderr
        assert json.loads(ended.stdout) == {
            "status": 200,
            "version": "$LATEST",
            "first": "first",
            "rest": "second",
            "complete": True,
        }

    def test_a_dry_run_runs_nothing(self, client, make_function):
        function = make_function(ECHO)
        answer = client.invoke_with_response_stream(
            FunctionName=function, InvocationType="DryRun", Payload=b"{}"
        )
        assert answer["StatusCode"] == 204 and list(answer["EventStream"]) == []

    def test_what_is_refused_is_no_stream(self, client, raw_client, make_function):
        function = make_function(ECHO)
        for options, code, status in [
            ({"FunctionName": "nowhere"}, "ResourceNotFoundException", 404),
            ({"Payload": b"not json"}, "InvalidRequestContentException", 400),
            ({"Qualifier": "none"}, "ResourceNotFoundException", 404),
            ({"InvocationType": "Event"}, "ValidationException", 400),
        ]:
            with pytest.raises(ClientError) as raised:
                raw_client.invoke_with_response_stream(**({"FunctionName": function} | options))
            error = raised.value.response
            assert error["Error"]["Code"] == code, error
            assert error["ResponseMetadata"]["HTTPStatusCode"] == status

    def test_another_account_needs_the_functions_permission(self, server, client, make_function):
        function = make_function(ECHO)
        arn = client.get_function_configuration(FunctionName=function)["FunctionArn"]
        other = server.client(key=OTHER_ACCOUNT)
        with pytest.raises(ClientError) as raised:
            run(other, arn)
        assert raised.value.response["Error"]["Code"] == "AccessDeniedException"
        client.add_permission(
            FunctionName=function,
            StatementId="other",
            Action="lambda:InvokeFunction",
            Principal=OTHER_ACCOUNT,
        )
        assert run(other, arn) == (b"{}", {})

    def test_throttling_is_no_stream(self, server, client, make_node, gate):
        function = make_node(TWO_PIECES)
        client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=1)
        _, events = start(client, function, {"gate": gate.urls})
        assert next(events)
        with pytest.raises(client.exceptions.TooManyRequestsException) as raised:
            run(server.client(), function)
        assert raised.value.response["Reason"] == (
            "ReservedFunctionConcurrentInvocationLimitExceeded"
        )
        gate.release()
        assert rest(events)[0] == b"second"


class TestErrors:
    def test_before_the_first_byte(self, client, make_node, open_url):
        function = make_node(
            "exports.handler = awslambda.streamifyResponse(async () => {"
            " throw new RangeError('early'); });"
        )
        written, complete = run(client, function)
        assert written == b"" and complete["ErrorCode"] == "Unhandled"
        error = json.loads(complete["ErrorDetails"])
        assert (error["errorType"], error["errorMessage"]) == ("RangeError", "early")
        answer = open_url(function)
        assert (answer.status, answer.read()) == (502, b"Internal Server Error")

    def test_after_the_first_byte(self, client, make_node, open_url):
        function = make_node("""
            exports.handler = awslambda.streamifyResponse(async (event, stream) => {
              await new Promise(written => stream.write("some", written));
              throw new RangeError("late");
            });
        """)
        written, complete = run(client, function, LogType="Tail")
        assert written == b"some" and complete["ErrorCode"] == "RangeError"
        error = json.loads(complete["ErrorDetails"])
        assert (error["errorType"], error["errorMessage"]) == ("RangeError", "late")
        assert logs.report(complete)
        answer = open_url(function)
        assert answer.status == 200
        with pytest.raises(http.client.IncompleteRead) as raised:
            answer.read()
        assert raised.value.partial == b"some"

    def test_a_process_that_ends_half_way(self, client, make_node, open_url):
        function = make_node("""
            exports.handler = awslambda.streamifyResponse(async (event, stream) => {
              await new Promise(written => stream.write("some", written));
              process.exit(3);
            });
        """)
        written, complete = run(client, function)
        assert written == b"some" and complete["ErrorCode"] == "Unhandled"
        assert json.loads(complete["ErrorDetails"])["errorType"] == "Runtime.ExitError"
        with pytest.raises(http.client.IncompleteRead):
            open_url(function).read()

    def test_a_timeout_half_way(self, client, make_node, open_url):
        code = """
            exports.handler = awslambda.streamifyResponse(async (event, stream) => {
              stream.write("some");
              await new Promise(() => setTimeout(() => {}, 1e6));
            });
        """
        function = make_node(code, Timeout=1)
        written, complete = run(client, function, LogType="Tail")
        assert written == b"some" and complete["ErrorCode"] == "Unhandled"
        error = json.loads(complete["ErrorDetails"])
        assert error["errorType"] == "Sandbox.Timedout"
        assert "Task timed out after 1.00 seconds" in error["errorMessage"]
        assert "Status: timeout" in logs.tail(complete)
        with pytest.raises(http.client.IncompleteRead) as raised:
            open_url(function).read()
        assert raised.value.partial == b"some"

    def test_an_init_that_fails(self, client, make_node):
        function = make_node("throw new TypeError('at once');")
        written, complete = run(client, function)
        assert written == b"" and complete["ErrorCode"] == "Unhandled"
        assert "at once" in complete["ErrorDetails"]


LARGE = """
const { pipeline } = require("stream/promises");
const { Readable } = require("stream");
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  const ask = event.body ? JSON.parse(event.body) : event;
  const part = Buffer.alloc(1 << 20, "x");
  await pipeline(Readable.from((function* () {
    for (let at = 0; at < ask.megabytes; at++) yield part;
  })()), stream);
});
"""


class TestSizes:
    def test_twenty_megabytes_go_through(self, client, make_node, open_url):
        function = make_node(LARGE, MemorySize=512)
        written, complete = run(client, function, {"megabytes": 20})
        assert complete == {} and written == b"x" * (20 << 20)
        answer = open_url(function, {"megabytes": 20})
        assert answer.status == 200 and len(answer.read()) == 20 << 20

    def test_what_is_not_streamed_keeps_its_limit(self, client, make_node, make_function, invoke):
        function = make_node(LARGE, MemorySize=512)
        answer = invoke(function, {"megabytes": 7})
        assert payload_of(answer)["errorType"] == "Function.ResponseSizeTooLarge"
        whole = make_function("def handler(event, context): return 'x' * (7 << 20)")
        written, complete = run(client, whole)
        assert written == b"" and complete["ErrorCode"] == "Unhandled"
        assert "6291556 bytes" in complete["ErrorDetails"]


# Writes as fast as it may, and tells when it has come to a stand.
WRITER = (
    NODE_GATE
    + """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  const ask = event.body ? JSON.parse(event.body) : event;
  const part = Buffer.alloc(1 << 20, "x");
  let told = false;
  for (let at = 0; at < ask.megabytes; at++) {
    if (stream.write(part)) continue;
    const drained = new Promise(resolve => stream.once("drain", resolve));
    const still = new Promise(resolve => setTimeout(resolve, 2000, "still"));
    if (!told && await Promise.race([drained, still]) === "still") {
      told = true;
      await tell(ask.gate, String(at));
    }
    await drained;
  }
  stream.end();
  await new Promise(resolve => stream.once("finish", resolve));
  await tell(ask.gate, "done");
});
"""
)


class TestClients:
    def test_a_slow_one_holds_the_function_up(self, server, make_node, open_url, gate):
        function = make_node(WRITER, MemorySize=512, Timeout=60)
        before = resident(server)
        answer = open_url(function, {"megabytes": 100, "gate": gate.urls})
        assert answer.status == 200
        assert int(gate.told()) < 50
        assert resident(server) - before < 50 << 20
        assert len(answer.read()) == 100 << 20
        assert gate.told() == "done"

    def test_one_that_leaves_does_not_end_the_function(
        self, server, client, make_node, open_url, gate, invoke
    ):
        function = make_node(TWO_PIECES)
        client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=1)
        answer = open_url(function, {"gate": gate.urls, "tell": True})
        assert answer.read(5) == b"first"
        request_id = answer.getheader("x-amzn-requestid")
        answer.leave()
        with pytest.raises(client.exceptions.TooManyRequestsException):
            invoke(function, {"gate": gate.urls})
        gate.release()
        assert gate.told() == "done"
        # It is over, and there is room for the next one.
        gate.release()
        again = None
        while again is None:
            with contextlib.suppress(client.exceptions.TooManyRequestsException):
                again = invoke(function, {"gate": gate.urls}, LogType="Tail")
        assert again["Payload"].read() == b"firstsecond"
        written = server.command_line("logs", function).stdout
        reports = re.findall(rf"REPORT RequestId: ({logs.ID})", written)
        assert reports == [request_id, logs.report(again)["id"]], written

    def test_one_that_leaves_a_lot_unread(self, make_node, open_url, gate):
        function = make_node(WRITER, MemorySize=512, Timeout=60)
        answer = open_url(function, {"megabytes": 30, "gate": gate.urls})
        assert answer.read(1)
        answer.leave()
        told = gate.told()
        assert told == "done" or gate.told() == "done"

    def test_a_server_that_stops_finishes_what_is_written(self, new_server, name):
        server = new_server().start()
        client = server.client()
        gate = Gate(server.client("sqs"), name)
        make = function_factory(client, name)
        function = next(make)(files={"index.js": TWO_PIECES}, Runtime=NODE)
        _, events = start(client, function, {"gate": gate.urls})
        assert next(events) == {"PayloadChunk": {"Payload": b"first"}}
        # It is asked to stop before the function is released.
        gate.sqs.send_message(QueueUrl=gate.urls["release"], MessageBody="go", DelaySeconds=2)
        server.process.send_signal(signal.SIGTERM)
        assert rest(events) == (b"second", {})
        assert server.process.wait(30) == 0


def resident(server) -> int:
    """What the server holds in memory, in bytes."""
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


class TestUrls:
    def test_the_first_piece_is_there_while_the_function_waits(self, make_node, open_url, gate):
        function = make_node(TWO_PIECES)
        ask = {"gate": gate.urls, "type": "text/event-stream"}
        answer = open_url(function, ask)
        assert answer.status == 200
        assert answer.getheader("Content-Type") == "text/event-stream"
        assert answer.getheader("Transfer-Encoding") == "chunked"
        assert answer.getheader("x-amzn-trace-id") and answer.getheader("x-amzn-requestid")
        assert answer.read(5) == b"first"
        gate.release()
        assert answer.read() == b"second"

    def test_status_headers_and_cookies_come_before_the_body(self, make_node, open_url, gate):
        function = make_node(
            NODE_GATE
            + """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  const http = awslambda.HttpResponseStream.from(stream, {
    statusCode: 418,
    headers: { "X-Own": "yes", "Content-Type": "text/x-tea" },
    cookies: ["a=1", "b=2"],
  });
  http.write("first");
  await released(JSON.parse(event.body).gate);
  http.end("second");
});
"""
        )
        answer = open_url(function, {"gate": gate.urls})
        assert answer.status == 418
        assert answer.getheader("X-Own") == "yes"
        assert answer.getheader("Content-Type") == "text/x-tea"
        assert answer.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
        assert answer.read(5) == b"first"
        gate.release()
        assert answer.read() == b"second"

    def test_a_body_of_nothing(self, make_node, open_url):
        function = make_node("""
            exports.handler = awslambda.streamifyResponse(async (event, stream) => {
              awslambda.HttpResponseStream.from(stream, { statusCode: 204 }).end();
            });
        """)
        answer = open_url(function)
        assert (answer.status, answer.read()) == (204, b"")

    def test_a_head_that_is_none(self, make_node, open_url):
        function = make_node("""
            exports.handler = awslambda.streamifyResponse(async (event, stream) => {
              stream.setContentType("application/vnd.awslambda.http-integration-response");
              stream.end(event.rawPath === "/" ? "no head" : "{}");
            });
        """)
        answer = open_url(function)
        assert (answer.status, answer.read()) == (502, b"Internal Server Error")

    def test_a_buffered_url_of_a_handler_that_streams(self, make_node, open_url):
        function = make_node("""
            exports.handler = awslambda.streamifyResponse(async (event, stream) => {
              const http = awslambda.HttpResponseStream.from(stream, { statusCode: 201 });
              http.write("a");
              http.end("b");
            });
        """)
        answer = open_url(function, mode="BUFFERED")
        assert (answer.status, answer.read()) == (201, b"ab")
        assert answer.getheader("Content-Length") == "2"

    def test_a_streaming_url_of_a_handler_that_does_not(self, make_function, open_url):
        function = make_function(
            "def handler(event, context): return {'statusCode': 202, 'body': 'whole'}"
        )
        answer = open_url(function)
        assert (answer.status, answer.read()) == (202, b"whole")


# Python on a custom runtime: the Runtime API as its documentation says it.
PYTHON_RUNTIME = """
#!PYTHON
import http.client, json, os, urllib.request

API, BASE = os.environ["AWS_LAMBDA_RUNTIME_API"], "/2018-06-01/runtime/invocation"

def handler(event):
    ask = json.loads(event["body"]) if "body" in event else event
    yield "first"
    body = json.dumps({"QueueUrl": ask["gate"]["release"], "WaitTimeSeconds": 20}).encode()
    headers = {
        "X-Amz-Target": "AmazonSQS.ReceiveMessage",
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Date": "20260101T000000Z",
        "Authorization": "SIGNATURE",
    }
    request = urllib.request.Request(os.environ["AWS_ENDPOINT_URL"], body, headers)
    urllib.request.urlopen(request).read()
    yield "second"

while True:
    connection = http.client.HTTPConnection(API)
    connection.request("GET", f"{BASE}/next")
    answer = connection.getresponse()
    event, request_id = json.load(answer), answer.headers["Lambda-Runtime-Aws-Request-Id"]
    pieces = (piece.encode() for piece in handler(event))
    connection.request("POST", f"{BASE}/{request_id}/response", pieces, {
        "Lambda-Runtime-Function-Response-Mode": "streaming",
        "Transfer-Encoding": "chunked",
        "Content-Type": "text/plain",
    }, encode_chunked=True)
    connection.getresponse().read()
    connection.close()
"""


class TestRuntimes:
    def test_python_on_a_custom_runtime(self, client, make_function, open_url, gate):
        bootstrap = PYTHON_RUNTIME.replace("PYTHON", "/usr/bin/env python3", 1)
        bootstrap = bootstrap.replace("SIGNATURE", SIGNATURE)
        zip_file = package.custom_package(bootstrap)
        function = make_function(zip_file=zip_file, Runtime=CUSTOM, Timeout=30)
        _, events = start(client, function, {"gate": gate.urls})
        assert next(events) == {"PayloadChunk": {"Payload": b"first"}}
        gate.release()
        assert rest(events) == (b"second", {})
        answer = open_url(function, {"gate": gate.urls})
        assert answer.getheader("Content-Type") == "text/plain"
        assert answer.read(5) == b"first"
        gate.release()
        assert answer.read() == b"second"

    def test_rust_on_awss_own_runtime(self, client, make_function, gate):
        program = pathlib.Path(os.environ["LAMBENT_TEST_RUST"]).with_name("streaming")
        zip_file = package.package({"bootstrap": program.read_bytes()}, 0o755)
        function = make_function(zip_file=zip_file, Runtime=CUSTOM, Timeout=30)
        _, events = start(client, function, {"url": gate.urls["release"]})
        # It says in any case what the HTTP response is.
        written = b""
        while b"first" not in written:
            written += next(events)["PayloadChunk"]["Payload"]
        head, body = written.split(b"\0" * 8)
        assert json.loads(head)["statusCode"] == 200 and body == b"first"
        gate.release()
        assert rest(events) == (b"second", {})
