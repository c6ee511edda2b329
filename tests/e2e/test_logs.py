"""What the log has of a function: inits that failed, and levels of the JSON format."""

import json
import re

import pytest

from support import logs
from support.bash import bash_runtime
from support.package import CUSTOM, ECHO, custom_package, payload_of
from support.server import ACCOUNT, REGION


class TestInitFailures:
    """What the log has of an environment that never served anything."""

    STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"

    def check(self, answer, expected):
        request_id = answer["ResponseMetadata"]["RequestId"]
        pattern = "\n".join(expected).replace("ID", request_id).replace("STAMP", self.STAMP)
        text = logs.tail(answer)
        assert re.fullmatch(pattern + r"\n", text), text

    def report(self, ending):
        return (
            r"REPORT RequestId: ID\tDuration: [\d.]+ ms\tBilled Duration: \d+ ms\t"
            rf"Memory Size: 128 MB\tMax Memory Used: \d+ MB\t{ending}"
        )

    def test_no_bootstrap(self, invoke, make_function):
        answer = invoke(make_function(files={"a": "b"}, Runtime=CUSTOM), LogType="Tail")
        ending = r"Status: error\tError Type: Runtime\.InvalidEntrypoint"
        self.check(answer, [
            r"INIT_START Runtime Version: provided:al2023\t",
            rf"INIT_REPORT Init Duration: 0\.00 ms\tPhase: invoke\t{ending}",
            r"START RequestId: ID Version: \$LATEST",
            r"RequestId: ID Error: Couldn't find valid bootstrap\(s\): \[.*\]",
            r"Runtime\.InvalidEntrypoint",
            "END RequestId: ID",
            self.report(ending),
        ])

    def test_an_exit(self, invoke, make_function):
        answer = invoke(make_function("import sys\nsys.exit(4)\n"), LogType="Tail")
        ending = r"Status: error\tError Type: Runtime\.ExitError"
        self.check(answer, [
            r"INIT_START Runtime Version: python:3\.\d+\t",
            rf"INIT_REPORT Init Duration: [\d.]+ ms\tPhase: invoke\t{ending}",
            r"START RequestId: ID Version: \$LATEST",
            "RequestId: ID Error: Runtime exited with error: exit status 4",
            r"Runtime\.ExitError",
            "END RequestId: ID",
            self.report(ending),
        ])

    def test_an_exception_has_no_type_of_lambdas(self, invoke, make_function):
        answer = invoke(make_function("raise ValueError('x')\n"), LogType="Tail")
        assert payload_of(answer)["errorType"] == "ValueError"
        ending = "\tStatus: error\tError Type: Runtime.Unknown\n"
        assert logs.tail(answer).count(ending) == 2

    def test_a_timeout(self, invoke, make_function):
        """Ten seconds, and once more for as long as the function may take."""
        bootstrap = "#!/bin/sh\necho hangs\nexec sleep 100\n"
        zip_file = custom_package(bootstrap)
        answer = invoke(make_function(zip_file=zip_file, Runtime=CUSTOM, Timeout=1), LogType="Tail")
        error = payload_of(answer)
        assert error["errorType"] == "Sandbox.Timedout"
        assert error["errorMessage"].endswith(" Error: Task timed out after 1.00 seconds")
        self.check(answer, [
            r"INIT_START Runtime Version: provided:al2023\t",
            "hangs",
            r"INIT_REPORT Init Duration: 1000\.00 ms\tPhase: invoke\tStatus: timeout",
            r"START RequestId: ID Version: \$LATEST",
            "STAMP ID Task timed out after 1.00 seconds",
            "",
            "END RequestId: ID",
            self.report("Status: timeout"),
        ])


class TestSystemLogLevel:
    def kinds(self, invoke, make_function, level, code):
        options = {"LogFormat": "JSON", "SystemLogLevel": level}
        answer = invoke(make_function(code, LoggingConfig=options), LogType="Tail")
        lines = [json.loads(line) for line in logs.tail(answer).splitlines()]
        return {line["type"]: line["record"] for line in lines if "type" in line}

    def test_warn_leaves_out_what_went_well(self, invoke, make_function):
        assert self.kinds(invoke, make_function, "WARN", ECHO) == {}

    def test_warn_has_what_did_not(self, invoke, make_function):
        kinds = self.kinds(invoke, make_function, "WARN", "import os\ndef handler(e, c): os._exit(1)\n")
        assert list(kinds) == ["platform.fault", "platform.runtimeDone", "platform.report"]
        for kind in ("platform.runtimeDone", "platform.report"):
            assert (kinds[kind]["status"], kinds[kind]["errorType"]) == ("error", "Runtime.ExitError")

    def test_info_has_start_and_report(self, invoke, make_function):
        kinds = self.kinds(invoke, make_function, "INFO", ECHO)
        assert list(kinds) == ["platform.start", "platform.report"]
        assert kinds["platform.start"]["functionArn"].startswith(f"arn:aws:lambda:{REGION}:{ACCOUNT}:")

    def test_debug_has_all(self, invoke, make_function):
        kinds = self.kinds(invoke, make_function, "DEBUG", ECHO)
        assert list(kinds) == ["platform.start", "platform.runtimeDone", "platform.report"]
        assert kinds["platform.runtimeDone"]["metrics"]["producedBytes"] == len("{}")


class TestApplicationLogLevel:
    """Lines that a function writes past its runtime's logger count by what they say of themselves."""

    @pytest.mark.parametrize(
        ("level", "kept"), [("DEBUG", ["debug", "plain", "error"]), ("INFO", ["plain", "error"]), ("ERROR", ["error"])]
    )
    def test_lines_are_left_out(self, invoke, make_function, level, kept):
        bootstrap = bash_runtime(r"""
            for name in debug error; do
                echo "{\"timestamp\":\"2024-11-02T16:51:31Z\",\"level\":\"$name\",\"message\":\"$name\"}"
                [ $name = debug ] && echo '{"message":"plain"}'
            done
            outcome=response answer=null
        """).replace('echo "handling $id"', ":")
        options = {"LogFormat": "JSON", "ApplicationLogLevel": level}
        function = make_function(zip_file=custom_package(bootstrap), Runtime=CUSTOM, LoggingConfig=options)
        lines = [json.loads(line) for line in logs.tail(invoke(function, LogType="Tail")).splitlines()]
        assert [line["message"] for line in lines if "message" in line] == kept

    def test_an_error_of_the_handler_is_kept(self, invoke, make_function):
        options = {"LogFormat": "JSON", "ApplicationLogLevel": "ERROR"}
        code = "def handler(event, context):\n    print('unsaid')\n    raise KeyError('said')\n"
        text = logs.tail(invoke(make_function(code, LoggingConfig=options), LogType="Tail"))
        assert '"errorType": "KeyError"' in text and "unsaid" not in text
