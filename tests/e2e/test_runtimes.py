"""Runtimes: what a function finds around it, in each language, and the official clients."""

import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys

import pytest
from botocore.exceptions import ClientError

from conftest import ROLE, until_active
from support import logs
from support.bash import bash_runtime
from support.package import CUSTOM, ECHO, NODE, PYTHON, custom_package, package, payload_of
from support.server import ACCOUNT, REGION

ALL_PYTHON = [f"python3.{minor}" for minor in range(9, 15)]
ALL_NODE = [f"nodejs{major}.x" for major in (18, 20, 22, 24)]


class TestEveryRuntime:
    @pytest.mark.parametrize("runtime", ALL_PYTHON)
    def test_python_is_there_or_refused_clearly(self, client, invoke, make_function, runtime):
        code = "import sys\ndef handler(event, context):\n    return 'python%d.%d' % sys.version_info[:2]\n"
        self.there_or_refused(make_function, invoke, runtime, {"index.py": code})

    @pytest.mark.parametrize("runtime", ALL_NODE)
    def test_node_is_there_or_refused_clearly(self, client, invoke, make_function, runtime):
        code = "exports.handler = async () => `nodejs${process.versions.node.split('.')[0]}.x`;"
        self.there_or_refused(make_function, invoke, runtime, {"index.js": code})

    @pytest.mark.skipif(platform.machine() != "x86_64", reason="packages are for x86-64")
    @pytest.mark.parametrize("runtime", ALL_NODE)
    def test_every_node_in_full(self, client, invoke, make_function, runtime):
        module = """
            import { setTimeout } from "node:timers/promises";
            export const handler = async (event, context) => {
              console.log("got", event.kind);
              await setTimeout(1);
              if (event.kind === "error") throw new RangeError("too far");
              return [context.getRemainingTimeInMillis() > 0, fetch !== undefined];
            };
        """
        function = make_function(files={"index.mjs": module}, Runtime=runtime)
        answer = invoke(function, {"kind": "answer"}, LogType="Tail")
        assert payload_of(answer) == [True, True]
        assert "\tINFO\tgot answer\n" in logs.tail(answer)
        failure = invoke(function, {"kind": "error"})
        assert failure["FunctionError"] == "Unhandled"
        error = payload_of(failure)
        assert (error["errorType"], error["errorMessage"]) == ("RangeError", "too far")
        assert "index.mjs:5:" in error["trace"][1]

    def there_or_refused(self, make_function, invoke, runtime, files):
        try:
            function = make_function(files=files, Runtime=runtime)
        except ClientError as error:
            assert error.response["Error"]["Code"] == "InvalidParameterValueException"
            assert runtime in error.response["Error"]["Message"]
            assert runtime not in (PYTHON, NODE), "the tests run on this one, so it is here"
        else:
            assert payload_of(invoke(function)) == runtime

    @pytest.mark.parametrize("runtime", ["provided.al2", "provided.al2023"])
    def test_custom_runtimes_are_always_there(self, invoke, make_function, runtime):
        bootstrap = bash_runtime("outcome=response answer=$event")
        function = make_function(zip_file=custom_package(bootstrap), Runtime=runtime)
        for event in ({"a": [1, 2]}, "text"):
            assert payload_of(invoke(function, event)) == event


class TestSurroundings:
    def expected(self, function, runtime, handler):
        return {
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
            "AWS_LAMBDA_FUNCTION_NAME": function,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function}",
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{runtime}",
            "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
            "LD_LIBRARY_PATH": (
                "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib"
                ":/var/task:/var/task/lib:/opt/lib"
            ),
            "SHLVL": "0",
            "LAMBDA_RUNTIME_DIR": "/var/runtime",
            "LAMBDA_TASK_ROOT": "/var/task",
            "LANG": "en_US.UTF-8",
            "PWD": "/var/task",
            "TZ": ":UTC",
            "TEST_KEY": "TEST_VAL",
            "_HANDLER": handler,
        }

    def check(self, variables, expected):
        assert {name: variables.get(name) for name in expected} == expected
        stream = variables["AWS_LAMBDA_LOG_STREAM_NAME"]
        assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", stream)
        assert re.fullmatch(r"[\d.]+:\d+", variables["AWS_LAMBDA_RUNTIME_API"])
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            assert variables[name]
        # Lambda sets it for JSON only.
        assert "AWS_LAMBDA_LOG_FORMAT" not in variables
        # Nothing of the platform's own surroundings.
        assert not [name for name in variables if name.startswith("LAMBENT")]
        assert "HOME" not in variables or not variables["HOME"].startswith("/root")

    def test_python(self, invoke, make_function):
        code = """
            import os
            def handler(event, context):
                return {
                    "environment": dict(os.environ), "cwd": os.getcwd(), "uid": os.getuid(),
                    "context": {
                        "function_name": context.function_name,
                        "function_version": context.function_version,
                        "invoked_function_arn": context.invoked_function_arn,
                        "memory_limit_in_mb": context.memory_limit_in_mb,
                        "aws_request_id": context.aws_request_id,
                        "log_group_name": context.log_group_name,
                        "log_stream_name": context.log_stream_name,
                    },
                    "remaining": context.get_remaining_time_in_millis(),
                    "identity": [context.identity.cognito_identity_id,
                                 context.identity.cognito_identity_pool_id],
                }
        """
        variables = {"Variables": {"TEST_KEY": "TEST_VAL"}}
        function = make_function(code, MemorySize=256, Environment=variables)
        answer = invoke(function)
        seen = payload_of(answer)
        self.check(seen["environment"], self.expected(function, PYTHON, "index.handler"))
        assert seen["environment"]["_X_AMZN_TRACE_ID"].startswith("Root=1-")
        assert seen["cwd"] == "/var/task"
        assert seen["uid"] != 0
        assert seen["context"] == {
            "function_name": function,
            "function_version": "$LATEST",
            "invoked_function_arn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}",
            "memory_limit_in_mb": "256",
            "aws_request_id": answer["ResponseMetadata"]["RequestId"],
            "log_group_name": f"/aws/lambda/{function}",
            "log_stream_name": seen["environment"]["AWS_LAMBDA_LOG_STREAM_NAME"],
        }
        assert 9_000 < seen["remaining"] <= 10_000
        assert seen["identity"] == [None, None]

    def test_node(self, invoke, make_function):
        code = """
            exports.handler = async (event, context) => ({
                environment: process.env, cwd: process.cwd(), uid: process.getuid(),
                context: {
                    functionName: context.functionName,
                    functionVersion: context.functionVersion,
                    invokedFunctionArn: context.invokedFunctionArn,
                    memoryLimitInMB: context.memoryLimitInMB,
                    awsRequestId: context.awsRequestId,
                    logGroupName: context.logGroupName,
                    logStreamName: context.logStreamName,
                    callbackWaitsForEmptyEventLoop: context.callbackWaitsForEmptyEventLoop,
                },
                remaining: context.getRemainingTimeInMillis(),
            });
        """
        variables = {"Variables": {"TEST_KEY": "TEST_VAL"}}
        function = make_function(
            files={"index.js": code}, Runtime=NODE, MemorySize=256, Environment=variables
        )
        answer = invoke(function)
        seen = payload_of(answer)
        self.check(seen["environment"], self.expected(function, NODE, "index.handler"))
        assert seen["cwd"] == "/var/task"
        assert seen["uid"] != 0
        assert seen["context"] == {
            "functionName": function,
            "functionVersion": "$LATEST",
            "invokedFunctionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}",
            "memoryLimitInMB": "256",
            "awsRequestId": answer["ResponseMetadata"]["RequestId"],
            "logGroupName": f"/aws/lambda/{function}",
            "logStreamName": seen["environment"]["AWS_LAMBDA_LOG_STREAM_NAME"],
            "callbackWaitsForEmptyEventLoop": True,
        }
        assert 9_000 < seen["remaining"] <= 10_000

    def test_custom(self, invoke, make_function):
        body = """
            outcome=response
            answer="{\\"deadline\\":$deadline,\\"arn\\":\\"$arn\\",\\"handler\\":\\"$_HANDLER\\","
            answer+="\\"name\\":\\"$AWS_LAMBDA_FUNCTION_NAME\\",\\"cwd\\":\\"$PWD\\",\\"now\\":$(date +%s),\\"ours\\":\\"${!LAMBENT*}\\"}"
        """
        bootstrap = bash_runtime(body)
        function = make_function(
            zip_file=custom_package(bootstrap), Runtime=CUSTOM, Handler="some.thing"
        )
        seen = payload_of(invoke(function))
        assert seen["arn"] == f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}"
        assert (seen["handler"], seen["name"]) == ("some.thing", function)
        assert seen["cwd"] == "/var/task"
        assert 5_000 < seen["deadline"] - seen["now"] * 1000 <= 11_000
        assert seen["ours"] == ""

    def test_files(self, invoke, make_function):
        code = """
            import os
            def handler(event, context):
                with open("/tmp/note", "a") as note:
                    note.write("x")
                try:
                    open("/var/task/new", "w")
                except OSError as error:
                    refused = error.strerror
                usage = os.statvfs("/tmp")
                return {
                    "note": open("/tmp/note").read(), "refused": refused,
                    "tmp_mb": usage.f_blocks * usage.f_frsize // 2**20,
                    "task": sorted(os.listdir("/var/task")),
                }
        """
        files = {"index.py": code, "data/one.txt": "1"}
        function = make_function(files=files, EphemeralStorage={"Size": 600})
        first, second = payload_of(invoke(function)), payload_of(invoke(function))
        assert (first["note"], second["note"]) == ("x", "xx"), "/tmp lives as long as its environment"
        assert first["refused"] in ("Read-only file system", "Permission denied")
        assert 590 <= first["tmp_mb"] <= 610
        assert first["task"] == ["data", "index.py"]

    def test_randomness_differs_between_environments(self, client, invoke, make_function):
        code = """
            import random, time, uuid
            at_init = [random.random(), uuid.uuid4().hex, hash("text")]
            def handler(event, context):
                time.sleep(0.5)
                return [context.log_stream_name] + at_init
        """
        import concurrent.futures

        function = make_function(code)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            seen = list(pool.map(lambda _: payload_of(invoke(function)), range(4)))
        streams, floats, uuids, _ = zip(*seen)
        assert len(set(streams)) == len(set(floats)) == len(set(uuids)) == 4


class TestWrapper:
    """AWS_LAMBDA_EXEC_WRAPPER: a program of the function's own starts the runtime's."""

    CODE = "import os\ndef handler(event, context):\n    return os.environ['WRAPPED']\n"

    def function(self, make_function, wrapper, mode=0o755):
        zip_file = package({"index.py": self.CODE, "wrapper": wrapper}, mode)
        variables = {"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrapper"}}
        return make_function(zip_file=zip_file, Environment=variables)

    def test_it_starts_the_runtime(self, invoke, make_function):
        wrapper = '#!/bin/bash\nexport WRAPPED=yes\nexec "$@"\n'
        assert payload_of(invoke(self.function(make_function, wrapper))) == "yes"

    @pytest.mark.parametrize(
        ("wrapper", "mode", "why"),
        [
            ("#!/bin/bash\n", 0o644, "permission denied"),
            ("#!/no/such/shell\n", 0o755, "no such file or directory"),
            ("no program", 0o755, "exec format error"),
        ],
    )
    def test_one_that_cannot_is_the_functions_fault(self, invoke, make_function, wrapper, mode, why):
        answer = invoke(self.function(make_function, wrapper, mode), LogType="Tail")
        error = payload_of(answer)
        assert error["errorType"] == "Runtime.InvalidEntrypoint"
        assert error["errorMessage"].endswith(f" Error: fork/exec /var/task/wrapper: {why}")
        assert error["errorMessage"] in logs.tail(answer)

    def test_one_that_is_not_there(self, invoke, make_function):
        variables = {"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/nothing"}}
        error = payload_of(invoke(make_function(ECHO, Environment=variables)))
        assert error["errorType"] == "Runtime.InvalidEntrypoint"
        assert error["errorMessage"].endswith("fork/exec /opt/nothing: no such file or directory")


class TestPython:
    def test_pythons_own_variables(self, invoke, make_function):
        code = """
            import sys
            def handler(event, context):
                return [hash("a"), sys.flags.optimize, sys.warnoptions, sys.path[0]]
        """
        variables = {"PYTHONHASHSEED": "0", "PYTHONOPTIMIZE": "1", "PYTHONWARNINGS": "error"}
        function = make_function(code, Environment={"Variables": variables})
        run = subprocess.run(
            [sys.executable, "-c", "print(hash('a'))"],
            capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "0"},
        )
        assert payload_of(invoke(function)) == [int(run.stdout), 1, ["error"], "/var/task"]

    @pytest.mark.parametrize("handler", ["pkg/mod.handle", "pkg.mod.handle"])
    def test_a_handler_in_a_package(self, invoke, make_function, handler):
        files = {
            "pkg/__init__.py": "",
            "pkg/mod.py": "from pkg import other\ndef handle(event, context):\n    return other.X\n",
            "pkg/other.py": "X = 'found'\n",
        }
        assert payload_of(invoke(make_function(files=files, Handler=handler))) == "found"

    def test_a_thread_of_its_own(self, invoke, make_function):
        code = """
            import concurrent.futures, threading
            pool = concurrent.futures.ThreadPoolExecutor(4)
            def handler(event, context):
                main = threading.current_thread() is threading.main_thread()
                return [main, sum(pool.map(lambda n: n * n, range(10)))]
        """
        assert payload_of(invoke(make_function(code))) == [True, 285]

    def test_a_subprocess(self, invoke, make_function):
        code = """
            import subprocess, sys
            def handler(event, context):
                run = subprocess.run(["/bin/sh", "-c", "echo from a child"], capture_output=True)
                return run.stdout.decode()
        """
        assert payload_of(invoke(make_function(code))) == "from a child\n"

    def test_the_logger(self, invoke, make_function):
        code = """
            import logging
            logger = logging.getLogger("shop")
            logger.setLevel(logging.INFO)
            def handler(event, context):
                logger.info("an %s line", "info")
                logging.getLogger().warning("a warning")
        """
        answer = invoke(make_function(code), LogType="Tail")
        request_id = answer["ResponseMetadata"]["RequestId"]
        text = logs.tail(answer)
        stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
        assert re.search(rf"^\[INFO\]\t{stamp}\t{request_id}\tan info line$", text, re.M), text
        assert re.search(rf"^\[WARNING\]\t{stamp}\t{request_id}\ta warning$", text, re.M), text

    def test_json_logs(self, invoke, make_function):
        code = """
            import logging
            def handler(event, context):
                logging.getLogger("shop").error("a line", extra={"order": 7})
        """
        function = make_function(code, LoggingConfig={"LogFormat": "JSON"})
        answer = invoke(function, LogType="Tail")
        request_id = answer["ResponseMetadata"]["RequestId"]
        lines = [json.loads(line) for line in logs.tail(answer).splitlines()]
        kinds = {line["type"]: line["record"] for line in lines if "type" in line}
        assert kinds["platform.start"]["requestId"] == request_id
        assert kinds["platform.start"]["version"] == "$LATEST"
        report = kinds["platform.report"]
        assert report["requestId"] == request_id and report["status"] == "success"
        assert report["metrics"]["memorySizeMB"] == 128
        assert report["metrics"]["billedDurationMs"] >= report["metrics"]["durationMs"]
        (line,) = [line for line in lines if line.get("message") == "a line"]
        assert (line["level"], line["logger"], line["requestId"]) == ("ERROR", "shop", request_id)
        assert line["order"] == 7


class TestNode:
    @pytest.mark.parametrize(
        ("file", "code"),
        [
            ("index.js", "exports.handler = async (event) => ({got: event});"),
            ("index.js", "exports.handler = (event, context, done) => done(null, {got: event});"),
            (
                "index.js",
                "exports.handler = (event) => new Promise(r => setTimeout(() => r({got: event}), 20));",
            ),
            ("index.mjs", "export const handler = async (event) => ({got: event});"),
            ("index.cjs", "module.exports.handler = async (event) => ({got: event});"),
            (
                "index.mjs",
                "const late = await Promise.resolve(1);\nexport const handler = async (event) => ({got: event});",
            ),
        ],
        ids=["async", "callback", "promise", "esm", "cjs", "top-level-await"],
    )
    def test_handlers(self, invoke, make_function, file, code):
        function = make_function(files={file: code}, Runtime=NODE)
        assert payload_of(invoke(function, {"n": 1})) == {"got": {"n": 1}}
        assert payload_of(invoke(function, {"n": 2})) == {"got": {"n": 2}}

    def test_a_package_of_type_module(self, invoke, make_function):
        files = {
            "package.json": '{"type": "module"}',
            "lib/word.js": "export const word = 'found';",
            "app/index.js": "import {word} from '../lib/word.js';\nexport const main = async () => word;",
        }
        function = make_function(files=files, Runtime=NODE, Handler="app/index.main")
        assert payload_of(invoke(function)) == "found"

    def test_undefined_is_null(self, invoke, make_function):
        function = make_function(files={"index.js": "exports.handler = async () => {};"}, Runtime=NODE)
        assert invoke(function)["Payload"].read() == b"null"

    @pytest.mark.parametrize(
        ("code", "kind", "message"),
        [
            ("exports.handler = async () => { throw new TypeError('boom'); };", "TypeError", "boom"),
            ("exports.handler = (e, c, done) => done(new Error('boom'));", "Error", "boom"),
            ("exports.handler = (e, c, done) => done('boom');", "string", "boom"),
            (
                "exports.handler = () => new Promise(() => setTimeout(() => { throw new Error('late'); }, 1));",
                "Error",
                "late",
            ),
            (
                "exports.handler = () => new Promise(() => { Promise.reject(new Error('lost')); });",
                "Runtime.UnhandledPromiseRejection",
                "Error: lost",
            ),
            ("exports.other = 1;", "Runtime.HandlerNotFound", "index.handler is undefined or not exported"),
            ("require('./nowhere');", "Runtime.ImportModuleError", "Error: Cannot find module './nowhere'"),
            ("exports.handler = {;", "Runtime.UserCodeSyntaxError", "SyntaxError: Unexpected token ';'"),
            ("throw new RangeError('in init');", "RangeError", "in init"),
        ],
        ids=[
            "throws", "callback-error", "callback-string", "uncaught", "unhandled-rejection",
            "no-handler", "no-module", "syntax-error", "init",
        ],
    )
    def test_failures(self, invoke, make_function, code, kind, message):
        answer = invoke(make_function(files={"index.js": code}, Runtime=NODE))
        assert answer["FunctionError"] == "Unhandled"
        error = payload_of(answer)
        assert error["errorType"] == kind
        assert error["errorMessage"].startswith(message)
        if kind == "TypeError":
            assert error["trace"][0] == "TypeError: boom"
            assert error["trace"][1].lstrip().startswith("at ")
            assert "/var/task/index.js:1:" in error["trace"][1]

    def test_the_console(self, invoke, make_function):
        code = "exports.handler = async () => { console.log('a', {b: 1}); console.error('bad'); };"
        answer = invoke(make_function(files={"index.js": code}, Runtime=NODE), LogType="Tail")
        request_id = answer["ResponseMetadata"]["RequestId"]
        text = logs.tail(answer)
        stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
        assert re.search(rf"^{stamp}\t{request_id}\tINFO\ta \{{ b: 1 \}}$", text, re.M), text
        assert re.search(rf"^{stamp}\t{request_id}\tERROR\tbad$", text, re.M), text

    def test_json_logs(self, invoke, make_function):
        code = "exports.handler = async () => { console.warn('careful'); };"
        function = make_function(
            files={"index.js": code}, Runtime=NODE, LoggingConfig={"LogFormat": "JSON"}
        )
        answer = invoke(function, LogType="Tail")
        lines = [json.loads(line) for line in logs.tail(answer).splitlines()]
        (line,) = [line for line in lines if line.get("message") == "careful"]
        assert line["level"] == "WARN"
        assert line["requestId"] == answer["ResponseMetadata"]["RequestId"]

    def test_the_heap_is_what_node_options_say(self, invoke, make_function):
        code = "exports.handler = async () => require('v8').getHeapStatistics().heap_size_limit / 2 ** 20;"
        sizes = []
        for options in ("--max-old-space-size=64", "--trace-warnings"):
            variables = {"Variables": {"NODE_OPTIONS": options}}
            function = make_function(
                files={"index.js": code}, Runtime=NODE, MemorySize=1024, Environment=variables
            )
            sizes.append(payload_of(invoke(function)))
        assert sizes[0] < 200 < 900 < sizes[1]

    def test_a_streaming_handler_may_be_invoked_in_one_piece(self, invoke, make_function):
        code = """
            exports.handler = awslambda.streamifyResponse(async (event, stream) => {
                stream.write('[1,');
                if (event.fail) throw new RangeError('half way');
                stream.end('2]');
            });
        """
        function = make_function(files={"index.js": code}, Runtime=NODE)
        assert payload_of(invoke(function)) == [1, 2]
        answer = invoke(function, {"fail": True})
        assert answer["FunctionError"] == "Unhandled"
        error = payload_of(answer)
        assert (error["errorType"], error["errorMessage"]) == ("RangeError", "half way")
        assert payload_of(invoke(function)) == [1, 2]

    def test_work_left_over_goes_on_in_the_next_invocation(self, invoke, make_function):
        code = """
            let ticks = 0;
            exports.handler = async () => { setTimeout(() => { ticks += 1; }, 50); return ticks; };
        """
        function = make_function(files={"index.js": code}, Runtime=NODE)
        assert payload_of(invoke(function)) == 0
        assert payload_of(invoke(function)) in (0, 1)


class TestCustom:
    def test_an_error_it_reports(self, invoke, make_function):
        body = """
            outcome=error
            answer='{"errorType":"Odd","errorMessage":"as told","stackTrace":[]}'
        """
        answer = invoke(make_function(zip_file=custom_package(bash_runtime(body)), Runtime=CUSTOM))
        assert answer["FunctionError"] == "Unhandled"
        assert payload_of(answer) == {"errorType": "Odd", "errorMessage": "as told", "stackTrace": []}

    def test_an_init_error_it_reports(self, invoke, make_function):
        bootstrap = r"""
            #!/bin/bash
            exec 3<>"/dev/tcp/${AWS_LAMBDA_RUNTIME_API%:*}/${AWS_LAMBDA_RUNTIME_API#*:}"
            body='{"errorType":"Init.Odd","errorMessage":"cannot begin"}'
            printf 'POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: r\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s' \
                ${#body} "$body" >&3
            cat <&3
            exit 1
        """
        answer = invoke(make_function(zip_file=custom_package(bootstrap), Runtime=CUSTOM))
        assert answer["FunctionError"] == "Unhandled"
        assert payload_of(answer)["errorType"] == "Init.Odd"

    def test_no_bootstrap(self, invoke, make_function):
        function = make_function(files={"readme.txt": "nothing here"}, Runtime=CUSTOM)
        error = payload_of(invoke(function))
        assert error["errorType"] == "Runtime.InvalidEntrypoint"
        assert error["errorMessage"].endswith(
            "Error: Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"
        )

    def test_a_bootstrap_that_is_not_executable(self, invoke, make_function):
        zip_file = custom_package("#!/bin/sh\nexit 0\n", mode=0o644)
        error = payload_of(invoke(make_function(zip_file=zip_file, Runtime=CUSTOM)))
        assert error["errorType"] == "Runtime.InvalidEntrypoint"

    def test_a_bootstrap_that_is_no_program(self, invoke, make_function):
        zip_file = package({"bootstrap": b"\x7fELF nonsense"}, mode=0o755)
        error = payload_of(invoke(make_function(zip_file=zip_file, Runtime=CUSTOM)))
        assert error["errorType"] in ("Runtime.InvalidEntrypoint", "Runtime.ExitError")

    def test_a_bootstrap_that_ends_at_once(self, invoke, make_function):
        zip_file = custom_package("#!/bin/sh\nexit 7\n")
        answer = invoke(make_function(zip_file=zip_file, Runtime=CUSTOM))
        request_id = answer["ResponseMetadata"]["RequestId"]
        assert payload_of(answer) == {
            "errorType": "Runtime.ExitError",
            "errorMessage": f"RequestId: {request_id} Error: Runtime exited with error: exit status 7",
        }


class TestOfficialClients:
    def test_awslambdaric(self, invoke, make_function):
        """AWS's own client for Python as the bootstrap of a custom runtime, unmodified."""
        interpreter = pathlib.Path("/usr/bin/python3")
        files = site_packages("awslambdaric", "simplejson", "snapshot_restore_py", "runtime_client")
        assert interpreter.exists(), "the bootstrap needs a Python in the host's base system"
        assert python_of(interpreter) == sys.version_info[:2], (
            "the tests' environment must be of the host's own Python, as its compiled parts are"
        )
        files["bootstrap"] = f'#!/bin/sh\nexec {interpreter} -m awslambdaric "$_HANDLER"\n'.encode()
        files["index.py"] = b"def handler(event, context):\n    return [event, context.function_name]\n"
        function = make_function(zip_file=package(files, mode=0o755), Runtime=CUSTOM, MemorySize=512)
        for number in range(3):
            assert payload_of(invoke(function, number)) == [number, function]

    def test_the_sdk_for_javascript(self, server, make_function):
        """AWS's SDK version 3 as a client: create, wait, invoke, delete."""
        client = pathlib.Path(__file__).parent / "node" / "client.mjs"
        run = subprocess.run(
            [shutil.which("node"), client, server.url],
            capture_output=True,
            text=True,
            timeout=60,
            env={"PATH": os.environ["PATH"], "LAMBENT_TEST_NODE": os.environ["LAMBENT_TEST_NODE"]},
        )
        assert run.returncode == 0, run.stderr
        assert json.loads(run.stdout) == {
            "created": "Pending",
            "answer": {"got": {"n": 1}},
            "functionError": "Unhandled",
            "error": "TypeError",
            "missing": "ResourceNotFoundException",
            "deleted": 204,
        }


def python_of(interpreter) -> tuple[int, ...]:
    code = "import sys; print(*sys.version_info[:2])"
    run = subprocess.run([interpreter, "-c", code], capture_output=True, text=True, check=True)
    return tuple(int(part) for part in run.stdout.split())


def site_packages(*names: str) -> dict[str, bytes]:
    """The files of installed packages, as they lie in the environment."""
    library = next(path for path in map(pathlib.Path, sys.path) if path.name == "site-packages")
    found = {}
    for name in names:
        for path in [*library.glob(f"{name}/**/*"), *library.glob(f"{name}.*")]:
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".dist-info":
                found[str(path.relative_to(library))] = path.read_bytes()
    return found
