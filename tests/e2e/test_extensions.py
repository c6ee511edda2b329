"""Extensions: processes of their own beside the runtime, and parts of the runtime's process."""

import json
import re
import time

import pytest

from conftest import function_factory
from support import logs, package
from support.bash import bash_runtime
from support.package import CUSTOM, NODE, PYTHON, payload_of

# Registers, and says in the log what it is told. How it fails is the function's choice.
AGENT = """
#!/usr/bin/env python3
import json, os, sys, urllib.request

BASE = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2020-01-01/extension"
FAILS = os.environ.get("AGENT_FAILS", "")

def call(method, path, body=None, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(f"{BASE}/{path}", body, headers, method=method)
    with urllib.request.urlopen(request) as answer:
        return answer.headers, json.load(answer)

def say(*words):
    print("agent", *words, flush=True)

if FAILS == "at once":
    sys.exit(3)
headers, about = call(
    "POST", "register", json.dumps({"events": ["INVOKE", "SHUTDOWN"]}).encode(),
    Lambda_Extension_Name=os.path.basename(__file__),
    Lambda_Extension_Accept_Feature="accountId",
)
me = headers["Lambda-Extension-Identifier"]
say("registered", json.dumps(about), "_HANDLER" in os.environ)
if FAILS == "its init":
    error = {"Lambda_Extension_Function_Error_Type": "Extension.NoConfig"}
    call("POST", "init/error", b"{}", Lambda_Extension_Identifier=me, **error)
while True:
    _, event = call("GET", "event/next", Lambda_Extension_Identifier=me)
    say("told", json.dumps(event))
    if FAILS == "an event":
        sys.exit(4)
    if event["eventType"] == "SHUTDOWN":
        break
"""

PYTHON_HANDLER = """
print("function loaded")

def handler(event, context):
    print("function called", event)
    if event.get("exit"):
        import os
        os._exit(7)
    if event.get("hang"):
        import time
        time.sleep(60)
    return context.aws_request_id
"""

NODE_HANDLER = """
console.log("function loaded");
exports.handler = async (event, context) => context.awsRequestId;
"""


@pytest.fixture(scope="module")
def layer(client):
    """A layer with the extension."""
    zip_file = package.package({"extensions/agent": AGENT}, 0o755)
    made = client.publish_layer_version(LayerName="agent", Content={"ZipFile": zip_file})
    return made["LayerVersionArn"]


def said(server, function):
    """The function's log so far, lines of the extension and of all others."""
    return server.command_line("logs", function).stdout


def told(text):
    """The events that the extension was told."""
    return [json.loads(found) for found in re.findall(r"agent told (\{.*\})", text)]


def until(what, timeout_s=30):
    deadline = time.monotonic() + timeout_s
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


@pytest.mark.parametrize("runtime", [PYTHON, NODE, CUSTOM])
def test_an_extension_registers_before_the_runtime_starts_and_is_told(
    server, client, make_function, invoke, layer, runtime
):
    packages = {
        PYTHON: {"index.py": PYTHON_HANDLER},
        NODE: {"index.js": NODE_HANDLER},
        CUSTOM: {"bootstrap": bash_runtime('outcome=response answer="\\"$id\\""')},
    }
    zip_file = package.package(packages[runtime], 0o755)
    function = make_function(zip_file=zip_file, Runtime=runtime, Layers=[layer], MemorySize=512)
    first = invoke(function)
    request_ids = [payload_of(first), payload_of(invoke(function))]
    text = said(server, function)
    about = json.loads(re.search(r"agent registered (\{.*\}) False", text)[1])
    assert about == {
        "functionName": function,
        "functionVersion": "$LATEST",
        "handler": "index.handler",
        "accountId": "000000000000",
    }
    if runtime != CUSTOM:
        assert text.index("agent registered") < text.index("function loaded")
    events = told(text)
    assert [event["requestId"] for event in events] == request_ids
    event = events[0]
    assert event["eventType"] == "INVOKE" and event["deadlineMs"] > 1.7e12
    assert event["invokedFunctionArn"].endswith(f":function:{function}")
    assert event["tracing"]["type"] == "X-Amzn-Trace-Id"
    assert event["tracing"]["value"].startswith("Root=1-")
    # One environment, for both.
    assert text.count("agent registered") == 1


class TestEnds:
    @pytest.fixture
    def resting(self, new_server, name):
        """A server whose environments do not rest for long, and a maker of its functions."""
        server = new_server("--keep-alive", "0.5").start()
        client = server.client()
        zip_file = package.package({"extensions/agent": AGENT}, 0o755)
        made = client.publish_layer_version(LayerName="agent", Content={"ZipFile": zip_file})
        make = next(function_factory(client, name))

        def make_extended(code, **options):
            return make(code, Layers=[made["LayerVersionArn"]], **options)

        return server, client, make_extended

    def reasons(self, server, function):
        events = told(said(server, function))
        return [event["shutdownReason"] for event in events if event["eventType"] == "SHUTDOWN"]

    def test_at_rest_and_when_the_server_stops(self, resting):
        server, client, make = resting
        code = """
            import signal, sys

            def ended(*_):
                print("function ended")
                sys.exit(0)

            signal.signal(signal.SIGTERM, ended)

            def handler(event, context):
                return 1
        """
        function = make(code)
        client.invoke(FunctionName=function)
        assert until(lambda: self.reasons(server, function)) == ["SPINDOWN"]
        text = said(server, function)
        assert text.index("function ended") < text.index("SPINDOWN")
        client.invoke(FunctionName=function)
        assert server.stop() == 0
        server.start()
        assert self.reasons(server, function) == ["SPINDOWN", "SPINDOWN"]

    def test_after_a_timeout_and_a_crash(self, resting):
        server, client, make = resting
        function = make(PYTHON_HANDLER, Timeout=1)
        answer = client.invoke(FunctionName=function, Payload=b'{"hang": true}')
        assert payload_of(answer)["errorType"] == "Sandbox.Timedout"
        assert until(lambda: self.reasons(server, function)) == ["TIMEOUT"]
        answer = client.invoke(FunctionName=function, Payload=b'{"exit": true}')
        error = payload_of(answer)
        assert error["errorType"] == "Runtime.ExitError"
        assert error["errorMessage"].endswith("exit status 7")
        assert until(lambda: len(self.reasons(server, function)) == 2)
        assert self.reasons(server, function)[1] == "FAILURE"
        # The next one has a new environment.
        answer = client.invoke(FunctionName=function)
        assert "FunctionError" not in answer


@pytest.mark.parametrize(
    ("fails", "kind", "message"),
    [
        ("at once", "Extension.Crash", "exit status 3"),
        ("its init", "Extension.InitError", "Extension.NoConfig"),
        ("an event", "Extension.Crash", "exit status 4"),
    ],
)
def test_an_extension_that_fails(make_function, invoke, layer, fails, kind, message):
    variables = {"Variables": {"AGENT_FAILS": fails}}
    function = make_function(PYTHON_HANDLER, Layers=[layer], Environment=variables)
    answer = invoke(function, {"hang": fails == "an event"}, LogType="Tail")
    assert answer["FunctionError"] == "Unhandled"
    error = payload_of(answer)
    assert error["errorType"] == kind and message in error["errorMessage"], error
    assert kind in logs.tail(answer)


def test_one_that_cannot_be_executed(client, make_function, invoke):
    zip_file = package.package({"extensions/broken": b"\x7fELF no program"}, 0o755)
    made = client.publish_layer_version(LayerName="broken", Content={"ZipFile": zip_file})
    function = make_function(PYTHON_HANDLER, Layers=[made["LayerVersionArn"]])
    error = payload_of(invoke(function))
    assert error["errorType"] == "Extension.LaunchError"
    assert "/opt/extensions/broken: exec format error" in error["errorMessage"]


def test_a_bootstrap_that_is_not_there(client, make_function, invoke, layer):
    zip_file = package.package({"readme.txt": "nothing"})
    function = make_function(zip_file=zip_file, Runtime=CUSTOM, Layers=[layer])
    error = payload_of(invoke(function))
    assert error["errorType"] == "Runtime.InvalidEntrypoint"
    assert "[/var/task/bootstrap /opt/bootstrap]" in error["errorMessage"]


INTERNAL = """
import json, os, threading, urllib.error, urllib.request

API = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}"
EXTENSION = f"{API}/2020-01-01/extension"

def call(method, url, body=None, headers={}):
    request = urllib.request.Request(url, body, headers, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.headers, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, error.headers, json.load(error)

def register(name, *events):
    body = json.dumps({"events": events}).encode()
    return call("POST", f"{EXTENSION}/register", body, {"Lambda-Extension-Name": name})

refused = register("inside", "SHUTDOWN")[2]["errorType"]
status, headers, about = register("inside", "INVOKE")
me = {"Lambda-Extension-Identifier": headers["Lambda-Extension-Identifier"]}
again = register("inside")[2]["errorType"]
telemetry = call("PUT", f"{API}/2022-07-01/telemetry", b"{}", me)
seen = []

def listen():
    while True:
        seen.append(call("GET", f"{EXTENSION}/event/next", headers=me)[2])

threading.Thread(target=listen, daemon=True).start()

def handler(event, context):
    while not any(one["requestId"] == context.aws_request_id for one in seen):
        pass
    late = register("late")[2]["errorType"]
    return {
        "status": status, "about": about, "refused": refused, "again": again, "late": late,
        "telemetry": [telemetry[0], telemetry[2]["errorType"]], "seen": len(seen),
    }
"""


def test_an_internal_extension(make_function, invoke):
    function = make_function(INTERNAL)
    for seen in (1, 2):
        answer = payload_of(invoke(function))
        assert answer == {
            "status": 200,
            "about": {
                "functionName": function,
                "functionVersion": "$LATEST",
                "handler": "index.handler",
            },
            "refused": "Extension.InvalidEventType",
            "again": "Extension.InvalidExtensionState",
            "late": "Extension.RegistrationClosed",
            "telemetry": [400, "ValidationError"],
            "seen": seen,
        }


# Takes what it is told of the log, keeps it in a file, and says at the end which kinds came.
LISTENER = """
#!/usr/bin/env python3
import http.server, json, os, socketserver, threading, time, urllib.request

API = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}"
PROTOCOL = os.environ["PROTOCOL"]
received = []

def keep(events):
    received.extend(events)
    with open("/tmp/told", "a") as file:
        file.writelines(json.dumps(event) + "\\n" for event in events)

class Http(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        keep(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass

class Tcp(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            keep([json.loads(line)])

def call(method, path, body=None, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(f"{API}/{path}", body, headers, method=method)
    with urllib.request.urlopen(request) as answer:
        return answer.headers, json.load(answer)

listener = socketserver.ThreadingTCPServer(
    ("sandbox.localdomain", 8123), Http if PROTOCOL == "HTTP" else Tcp
)
threading.Thread(target=listener.serve_forever, daemon=True).start()
headers, _ = call(
    "POST", "2020-01-01/extension/register",
    json.dumps({"events": ["INVOKE", "SHUTDOWN"]}).encode(),
    Lambda_Extension_Name=os.path.basename(__file__),
)
me = headers["Lambda-Extension-Identifier"]
to = {"URI": "http://sandbox.localdomain:8123"} if PROTOCOL == "HTTP" else {"port": 8123}
wanted = {
    "schemaVersion": "2022-12-13",
    "types": ["platform", "function", "extension"],
    "buffering": {"maxItems": 1000, "maxBytes": 262144, "timeoutMs": 25},
    "destination": {"protocol": PROTOCOL, **to},
}
_, said = call(
    "PUT", "2022-07-01/telemetry", json.dumps(wanted).encode(), Lambda_Extension_Identifier=me
)
print("agent subscribed", said, flush=True)
while True:
    _, event = call("GET", "2020-01-01/extension/event/next", Lambda_Extension_Identifier=me)
    if event["eventType"] == "SHUTDOWN":
        print("agent received", json.dumps([event["type"] for event in received]), flush=True)
        break
    # As most do: it stays awake until it has heard of the runtime's end.
    done = ("platform.runtimeDone", event["requestId"])
    while done not in [(one["type"], one["record"]["requestId"]) for one in list(received)
                       if one["type"] == "platform.runtimeDone"]:
        time.sleep(0.001)
"""

TOLD = """
import json, os

print("function loaded")

def handler(event, context):
    print("function called")
    told = []
    while not any(one["type"] == event["awaits"] for one in told):
        if os.path.exists("/tmp/told"):
            with open("/tmp/told") as file:
                told = [json.loads(line) for line in file if line.endswith("\\n")]
    return told
"""


@pytest.mark.parametrize("protocol", ["HTTP", "TCP"])
def test_an_extension_is_told_of_the_log(new_server, name, protocol):
    server = new_server("--keep-alive", "0.5").start()
    client = server.client()
    zip_file = package.package({"extensions/listener": LISTENER}, 0o755)
    made = client.publish_layer_version(LayerName="listener", Content={"ZipFile": zip_file})
    make = next(function_factory(client, name))
    function = make(
        TOLD,
        Layers=[made["LayerVersionArn"]],
        Environment={"Variables": {"PROTOCOL": protocol}},
        Timeout=30,
    )

    def told(awaits):
        payload = json.dumps({"awaits": awaits}).encode()
        answer = client.invoke(FunctionName=function, Payload=payload)
        assert "FunctionError" not in answer, payload_of(answer)
        return answer["ResponseMetadata"]["RequestId"], payload_of(answer)

    first, events = told("platform.start")
    kinds = [event["type"] for event in events]
    platform = [kind for kind in kinds if kind.startswith("platform.")]
    assert platform[:5] == [
        "platform.initStart",
        "platform.telemetrySubscription",
        "platform.extension",
        "platform.initRuntimeDone",
        "platform.initReport",
    ]
    lines = {kind: [] for kind in ("function", "extension")}
    for event in events:
        lines.get(event["type"], []).append(event["record"])
    assert lines["extension"] == ["agent subscribed OK"]
    assert lines["function"][0] == "function loaded"
    by_kind = {event["type"]: event["record"] for event in events}
    assert by_kind["platform.start"]["requestId"] == first
    assert by_kind["platform.initStart"]["functionName"] == function
    assert by_kind["platform.extension"] == {
        "name": "listener",
        "state": "Ready",
        "events": ["INVOKE", "SHUTDOWN"],
    }

    _, events = told("platform.report")
    by_kind = {event["type"]: event["record"] for event in events}
    report = by_kind["platform.report"]
    assert report["requestId"] == first and report["status"] == "success"
    assert report["metrics"]["durationMs"] > 0
    assert by_kind["platform.runtimeDone"]["requestId"] == first

    # Before its end it is told the rest.
    def received():
        found = re.search(r"agent received (\[.*\])", said(server, function))
        return found and json.loads(found[1])

    assert until(received).count("platform.report") == 2
