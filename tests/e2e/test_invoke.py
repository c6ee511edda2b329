"""Invoke: what goes in, what comes out, and what a caller learns when a function fails."""

import base64
import json
import re
import sys
import time

import pytest
from botocore.exceptions import ClientError

from support import logs
from support.package import ECHO, NODE, payload_of
from support.server import ACCOUNT, REGION

REQUEST_BYTES_MAX = 6 * 1024 * 1024
RESPONSE_BYTES_MAX = 6_291_556


def invoke(client, function, payload=b"{}", **options):
    return client.invoke(FunctionName=function, Payload=payload, **options)


def failure(response) -> dict:
    """What a function that failed is reported with."""
    assert response["StatusCode"] == 200
    assert response["FunctionError"] == "Unhandled"
    assert response["ResponseMetadata"]["HTTPHeaders"]["x-amz-function-error"] == "Unhandled"
    return payload_of(response)


class TestAnswers:
    def test_the_functions_own_bytes(self, client, make_function):
        function = make_function(ECHO)
        event = {"text": "Grüße 😀", "big": 12345678901234567890, "null": None, "list": [1.5, True]}
        answer = invoke(client, function, json.dumps(event).encode())
        assert answer["StatusCode"] == 200
        assert answer["ExecutedVersion"] == "$LATEST"
        assert "FunctionError" not in answer and "LogResult" not in answer
        assert payload_of(answer) == event

    @pytest.mark.parametrize("payload", [b"null", b"3", b'"text"', b"[1, 2]", b"true", b"{}"])
    def test_any_json(self, client, make_function, payload):
        assert invoke(client, make_function(ECHO), payload)["Payload"].read() == payload

    def test_no_payload_is_an_empty_event(self, client, make_function):
        function = make_function(ECHO)
        assert client.invoke(FunctionName=function)["Payload"].read() == b"{}"

    def test_nothing_returned_is_null(self, client, make_function):
        function = make_function("def handler(event, context):\n    pass\n")
        assert invoke(client, function)["Payload"].read() == b"null"

    def test_the_request_id_is_the_functions(self, client, make_function):
        function = make_function("def handler(event, context):\n    return context.aws_request_id\n")
        answer = invoke(client, function)
        request_id = answer["ResponseMetadata"]["RequestId"]
        assert re.fullmatch(logs.ID, request_id)
        assert payload_of(answer) == request_id

    def test_a_lone_surrogate_passes(self, client, make_function):
        """JavaScript writes such strings; strict JSON parsers refuse them."""
        code = "exports.handler = async (event) => '\\ud800' + event.length\n"
        function = make_function(
            files={"index.js": code.encode()}, Runtime=NODE, Handler="index.handler"
        )
        answer = invoke(client, function, b'"\\ud83d"')
        assert answer["Payload"].read() == b'"\\ud8001"'

    def test_a_lone_surrogate_from_python(self, client, make_function):
        """Up to 3.11 the runtime escapes what it answers; from 3.12 on it writes UTF-8, in which
        half a pair cannot be written."""
        code = "def handler(event, context):\n    return '\\ud800' + str(len(event))\n"
        answer = invoke(client, make_function(code), b'"\\ud83d"')
        if sys.version_info < (3, 12):
            assert answer["Payload"].read() == b'"\\ud8001"'
        else:
            assert failure(answer)["errorType"] == "Runtime.MarshalError"

    def test_with_a_qualifier(self, client, make_function):
        code = "def handler(event, context):\n    return context.invoked_function_arn\n"
        function = make_function(code)
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}"
        assert payload_of(invoke(client, function)) == arn
        qualified = invoke(client, function, Qualifier="$LATEST")
        assert payload_of(qualified) == arn + ":$LATEST"
        assert payload_of(invoke(client, arn)) == arn

    def test_the_callers_trace_goes_on(self, client, make_function):
        code = "import os\ndef handler(event, context):\n    return os.environ['_X_AMZN_TRACE_ID']\n"
        function = make_function(code)
        trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"

        def traced(request, **_):
            request.headers["X-Amzn-Trace-Id"] = trace

        client.meta.events.register("before-sign.lambda.Invoke", traced)
        try:
            seen, lineage = payload_of(invoke(client, function)).split(";Lineage=")
            assert seen == trace and lineage.endswith(":1")
        finally:
            client.meta.events.unregister("before-sign.lambda.Invoke", traced)
        fresh = payload_of(invoke(client, function))
        assert fresh.startswith("Root=1-") and fresh != trace

    def test_the_client_context(self, client, make_function):
        code = """
            def handler(event, context):
                given = context.client_context
                return given and {
                    "custom": given.custom, "env": given.env, "title": given.client.app_title,
                }
        """
        function = make_function(code)
        assert payload_of(invoke(client, function)) is None
        given = {"custom": {"a": "b"}, "env": {"c": "d"}, "client": {"app_title": "shop"}}
        encoded = base64.b64encode(json.dumps(given).encode()).decode()
        assert payload_of(invoke(client, function, ClientContext=encoded)) == {
            "custom": {"a": "b"},
            "env": {"c": "d"},
            "title": "shop",
        }

    def test_a_dry_run_runs_nothing(self, client, make_function):
        function = make_function("raise Exception('ran')\n")
        answer = invoke(client, function, InvocationType="DryRun")
        assert answer["StatusCode"] == 204
        assert answer["Payload"].read() == b""
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            invoke(client, "nowhere", InvocationType="DryRun")

    def test_an_environment_is_used_again(self, client, make_function):
        code = "count = 0\ndef handler(event, context):\n    global count\n    count += 1\n    return count\n"
        function = make_function(code)
        assert [payload_of(invoke(client, function)) for _ in range(5)] == [1, 2, 3, 4, 5]


class TestLogTail:
    def test_has_lambdas_lines(self, client, make_function):
        code = "def handler(event, context):\n    print('hello', event['n'])\n"
        function = make_function(code, MemorySize=256)
        cold = invoke(client, function, b'{"n": 1}', LogType="Tail")
        text, report = logs.tail(cold), logs.report(cold)
        request_id = cold["ResponseMetadata"]["RequestId"]
        assert logs.START.search(text).groupdict() == {"id": request_id, "version": "$LATEST"}
        assert logs.END.search(text)["id"] == request_id
        assert report["id"] == request_id
        assert text.index("START") < text.index("hello 1\n") < text.index("END") < text.index("REPORT")
        assert report["size"] == "256"
        assert 0 < int(report["used"]) <= 256
        assert float(report["init"]) > 0
        warm = invoke(client, function, b'{"n": 2}', LogType="Tail")
        assert logs.report(warm)["init"] is None
        assert "hello 2\n" in logs.tail(warm) and "hello 1" not in logs.tail(warm)

    def test_bills_whole_milliseconds(self, client, make_function):
        code = "import time\ndef handler(event, context):\n    time.sleep(0.05)\n"
        function = make_function(code)
        invoke(client, function)
        report = logs.report(invoke(client, function, LogType="Tail"))
        duration, billed = float(report["duration"]), int(report["billed"])
        assert 50 <= duration < 1000
        assert duration <= billed < duration + 1

    def test_is_the_last_4_kb(self, client, make_function):
        code = "def handler(event, context):\n    for n in range(1000):\n        print('line', n)\n"
        text = logs.tail(invoke(client, make_function(code), LogType="Tail"))
        assert len(text.encode()) <= 4096
        assert "line 999\n" in text and "line 0\n" not in text
        assert logs.REPORT.search(text)

    def test_has_what_goes_to_stderr_and_unfinished_lines(self, client, make_function):
        code = """
            import sys
            def handler(event, context):
                print("to stderr", file=sys.stderr)
                sys.stdout.write("no newline")
        """
        text = logs.tail(invoke(client, make_function(code), LogType="Tail"))
        assert "to stderr\n" in text and "no newline" in text


class TestFailures:
    def test_an_exception(self, client, make_function):
        code = "class Trouble(Exception):\n    pass\ndef handler(event, context):\n    raise Trouble('so it is')\n"
        answer = invoke(client, make_function(code), LogType="Tail")
        error = failure(answer)
        assert error["errorType"] == "Trouble"
        assert error["errorMessage"] == "so it is"
        assert error["requestId"] == answer["ResponseMetadata"]["RequestId"]
        assert error["stackTrace"] == [
            '  File "/var/task/index.py", line 4, in handler\n    raise Trouble(\'so it is\')\n'
        ]
        assert "[ERROR] Trouble: so it is" in logs.tail(answer)
        assert "Traceback (most recent call last):" in logs.tail(answer)

    def test_the_environment_survives_an_exception(self, client, make_function):
        code = """
            count = 0
            def handler(event, context):
                global count
                count += 1
                return count if event["ok"] else 1 / 0
        """
        function = make_function(code)
        assert payload_of(invoke(client, function, b'{"ok": true}')) == 1
        assert failure(invoke(client, function, b'{"ok": false}'))["errorType"] == "ZeroDivisionError"
        assert payload_of(invoke(client, function, b'{"ok": true}')) == 3

    def test_an_answer_that_is_not_json(self, client, make_function):
        answer = invoke(client, make_function("def handler(event, context):\n    return {1, 2}\n"))
        error = failure(answer)
        assert error["errorType"] == "Runtime.MarshalError"
        assert error["errorMessage"] == (
            "Unable to marshal response: Object of type set is not JSON serializable"
        )

    @pytest.mark.parametrize(
        ("code", "reason"),
        [
            ("import sys\ndef handler(e, c):\n    sys.exit(0)\n", "Runtime exited without providing a reason"),
            ("import os\ndef handler(e, c):\n    os._exit(0)\n", "Runtime exited without providing a reason"),
            ("import os\ndef handler(e, c):\n    os._exit(3)\n", "Runtime exited with error: exit status 3"),
            (
                "import os\ndef handler(e, c):\n    os.kill(os.getpid(), 11)\n",
                "Runtime exited with error: signal: segmentation fault",
            ),
            (
                "import os\ndef handler(e, c):\n    os.kill(os.getpid(), 9)\n",
                "Runtime exited with error: signal: killed",
            ),
        ],
        ids=["sys.exit", "exit-0", "exit-3", "segfault", "killed"],
    )
    def test_the_end_of_the_process(self, client, make_function, code, reason):
        function = make_function(code + "    return 1\n")
        answer = invoke(client, function, LogType="Tail")
        request_id = answer["ResponseMetadata"]["RequestId"]
        assert failure(answer) == {
            "errorType": "Runtime.ExitError",
            "errorMessage": f"RequestId: {request_id} Error: {reason}",
        }
        assert logs.REPORT.search(logs.tail(answer))

    def test_a_new_environment_after_a_crash(self, client, make_function):
        code = """
            import os
            count = 0
            def handler(event, context):
                global count
                count += 1
                return os._exit(1) if event.get("crash") else count
        """
        function = make_function(code)
        assert payload_of(invoke(client, function)) == 1
        assert payload_of(invoke(client, function)) == 2
        failure(invoke(client, function, b'{"crash": true}'))
        assert payload_of(invoke(client, function)) == 1

    def test_a_timeout(self, client, make_function):
        code = """
            import time
            count = 0
            def handler(event, context):
                global count
                count += 1
                time.sleep(event["s"])
                return count
        """
        function = make_function(code, Timeout=1)
        assert payload_of(invoke(client, function, b'{"s": 0}')) == 1
        begun = time.monotonic()
        answer = invoke(client, function, b'{"s": 30}', LogType="Tail")
        took = time.monotonic() - begun
        request_id = answer["ResponseMetadata"]["RequestId"]
        assert failure(answer) == {
            "errorType": "Sandbox.Timedout",
            "errorMessage": f"RequestId: {request_id} Error: Task timed out after 1.00 seconds",
        }
        assert 1 <= took < 3
        report = logs.report(answer)
        assert int(report["billed"]) == 1000
        assert "Status: timeout" in logs.tail(answer)
        assert payload_of(invoke(client, function, b'{"s": 0}')) == 1, "the old one was stopped"

    def test_a_timeout_in_busy_code_that_ignores_signals(self, client, make_function):
        code = """
            import signal
            def handler(event, context):
                for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                    signal.signal(number, signal.SIG_IGN)
                while True:
                    pass
        """
        begun = time.monotonic()
        error = failure(invoke(client, make_function(code, Timeout=1)))
        assert error["errorType"] == "Sandbox.Timedout"
        assert time.monotonic() - begun < 5

    def test_out_of_memory(self, client, make_function):
        code = """
            def handler(event, context):
                if event.get("hog"):
                    blocks = []
                    while True:
                        blocks.append(bytearray(8 * 1024 * 1024))
                return "fine"
        """
        # With as little processor time as 128 MB give, filling them may take seconds.
        function = make_function(code, MemorySize=128, Timeout=60)
        answer = invoke(client, function, b'{"hog": true}', LogType="Tail")
        error = failure(answer)
        # Where the kernel kills first it is this; CPython may see a MemoryError before.
        request_id = answer["ResponseMetadata"]["RequestId"]
        if error["errorType"] != "MemoryError":
            assert error["errorType"] == "Runtime.OutOfMemory"
            assert error["errorMessage"] == (
                f"RequestId: {request_id} Error: Runtime exited with error: signal: killed"
            )
            assert "Error Type: Runtime.OutOfMemory" in logs.tail(answer)
        assert payload_of(invoke(client, function)) == "fine"

    @pytest.mark.parametrize(
        ("files", "handler", "kind", "message"),
        [
            (
                {"index.py": "x = 1\n"},
                "index.handler",
                "Runtime.HandlerNotFound",
                "Handler 'handler' missing on module 'index'",
            ),
            (
                {"other.py": "x = 1\n"},
                "index.handler",
                "Runtime.ImportModuleError",
                "Unable to import module 'index': No module named 'index'",
            ),
            (
                {"index.py": "def handler(:\n"},
                "index.handler",
                "Runtime.UserCodeSyntaxError",
                "Syntax error in module 'index': ",
            ),
            (
                {"index.py": ECHO},
                "nodot",
                "Runtime.MalformedHandlerName",
                "Bad handler 'nodot': ",
            ),
        ],
        ids=["no-handler", "no-module", "syntax-error", "malformed-name"],
    )
    def test_code_that_does_not_load(self, client, make_function, files, handler, kind, message):
        function = make_function(files=files, Handler=handler)
        error = failure(invoke(client, function))
        assert error["errorType"] == kind
        assert error["errorMessage"].startswith(message)

    def test_an_exception_in_init(self, client, make_function):
        function = make_function("raise Exception('init fails')\n")
        for _ in range(2):
            error = failure(invoke(client, function))
            assert error["errorType"] == "Exception"
            assert error["errorMessage"] == "init fails"
            assert error["requestId"] == ""
            assert "    raise Exception('init fails')\n" in error["stackTrace"][-1]

    def test_an_exit_in_init(self, client, make_function):
        answer = invoke(client, make_function("import sys\nsys.exit(0)\n"))
        request_id = answer["ResponseMetadata"]["RequestId"]
        assert failure(answer) == {
            "errorType": "Runtime.ExitError",
            "errorMessage": f"RequestId: {request_id} Error: Runtime exited without providing a reason",
        }

    def test_a_failed_init_is_tried_again(self, client, make_function, update_code):
        function = make_function("raise Exception('not yet')\n")
        failure(invoke(client, function))
        update_code(function, ECHO)
        assert payload_of(invoke(client, function, b"1")) == 1


class TestRefusals:
    def test_a_payload_that_is_not_json(self, client, make_function):
        function = make_function(ECHO)
        for payload in (b"{", b"nope", b"\x99\xeb"):
            with pytest.raises(ClientError) as raised:
                invoke(client, function, payload)
            error = raised.value.response
            assert error["Error"]["Code"] == "InvalidRequestContentException"
            assert error["Error"]["Message"].startswith(
                "Could not parse request body into json: Could not parse payload into json: "
            )
            assert error["ResponseMetadata"]["HTTPStatusCode"] == 400

    def test_a_client_context_that_is_not_base64(self, client, make_function):
        function = make_function(ECHO)
        for given in ("?", base64.b64encode(b"{").decode()):
            with pytest.raises(ClientError) as raised:
                invoke(client, function, ClientContext=given)
            error = raised.value.response
            assert error["Error"]["Code"] == "InvalidRequestContentException"
            assert error["ResponseMetadata"]["HTTPStatusCode"] == 400

    def test_a_function_that_is_not_there(self, client):
        with pytest.raises(client.exceptions.ResourceNotFoundException) as raised:
            invoke(client, "nowhere")
        message = raised.value.response["Error"]["Message"]
        assert message.startswith(f"Function not found: arn:aws:lambda:{REGION}:{ACCOUNT}:function:nowhere")

    def test_a_version_that_is_not_there(self, client, make_function):
        function = make_function(ECHO)
        with pytest.raises(client.exceptions.ResourceNotFoundException) as raised:
            invoke(client, function, Qualifier="7")
        assert raised.value.response["Error"]["Message"] == (
            f"Function not found: arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}:7"
        )


class TestSizes:
    def test_the_largest_request(self, client, make_function):
        function = make_function("def handler(event, context):\n    return len(event)\n", MemorySize=512)
        text = b'"' + b"x" * (REQUEST_BYTES_MAX - 2) + b'"'
        assert payload_of(invoke(client, function, text)) == REQUEST_BYTES_MAX - 2

    def test_a_larger_request_is_refused(self, client, make_function):
        function = make_function(ECHO)
        text = b'"' + b"x" * (REQUEST_BYTES_MAX - 1) + b'"'
        with pytest.raises(ClientError) as raised:
            invoke(client, function, text)
        error = raised.value.response
        assert error["ResponseMetadata"]["HTTPStatusCode"] == 413
        assert error["Error"] == {
            "Code": "RequestEntityTooLargeException",
            "Message": f"Request must be smaller than {REQUEST_BYTES_MAX} bytes for the "
            "InvokeFunction operation",
        }
        assert payload_of(invoke(client, function, b"1")) == 1

    def test_a_large_answer(self, client, make_function):
        code = f"def handler(event, context):\n    return 'x' * ({REQUEST_BYTES_MAX} - 2)\n"
        function = make_function(code, MemorySize=512)
        assert len(invoke(client, function)["Payload"].read()) == REQUEST_BYTES_MAX

    def test_a_larger_answer_is_a_failure(self, client, make_function):
        code = f"""
            def handler(event, context):
                return "x" * {RESPONSE_BYTES_MAX} if event.get("large") else "fine"
        """
        function = make_function(code, MemorySize=512)
        for _ in range(2):
            assert failure(invoke(client, function, b'{"large": true}')) == {
                "errorMessage": "Response payload size exceeded maximum allowed payload size "
                f"({RESPONSE_BYTES_MAX} bytes).",
                "errorType": "Function.ResponseSizeTooLarge",
            }
        assert payload_of(invoke(client, function)) == "fine"
