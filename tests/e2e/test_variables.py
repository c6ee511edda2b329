"""What a process finds in its environment by runtime, and what the names on its path lead to."""

import json

import pytest
from botocore.exceptions import ClientError

from support.bash import bash_runtime
from support.package import NODE, PYTHON, custom_package, payload_of


@pytest.fixture
def invoke(client):
    def invoke(function):
        return client.invoke(FunctionName=function, Payload=json.dumps({}).encode())

    return invoke


@pytest.mark.parametrize("runtime", [f"python3.{minor}" for minor in range(9, 15)])
def test_pythons_locale_and_a_program_by_name(make_function, invoke, runtime):
    code = """
        import os, subprocess, sys
        def handler(event, context):
            version = "import sys; print(sys.version)"
            ask = lambda name: subprocess.check_output([name, "-c", version], text=True).strip()
            minor = "python%d.%d" % sys.version_info[:2]
            return {
                "same": [ask("python3") == sys.version, ask(minor) == sys.version],
                "locale": os.environ.get("LC_CTYPE"),
            }
    """
    try:
        function = make_function(code, Runtime=runtime, MemorySize=512)
    except ClientError as error:
        assert runtime in error.response["Error"]["Message"]
        assert runtime != PYTHON, "the tests run on this one, so it is here"
        return
    locale = "C.UTF-8" if int(runtime.removeprefix("python3.")) >= 12 else None
    assert payload_of(invoke(function)) == {"same": [True, True], "locale": locale}


def test_node_by_name(make_function, invoke):
    code = """
        const { execFileSync } = require("child_process");
        exports.handler = async () =>
            [execFileSync("node", ["--version"]).toString().trim(), process.version];
    """
    function = make_function(files={"index.js": code}, Runtime=NODE, MemorySize=512)
    by_name, own = payload_of(invoke(function))
    assert by_name == own


@pytest.mark.parametrize(
    "runtime, lang", [("provided.al2", ""), ("provided.al2023", "/var/lang/bin:")]
)
def test_customs_variables(make_function, invoke, runtime, lang):
    # What the kernel gave the process, not what the shell made of it.
    body = """
        outcome=response answer="["
        while IFS= read -r -d "" variable; do
            answer+="\\"${variable//\\"/}\\","
        done </proc/$$/environ
        answer="${answer%,}]"
    """
    zip_file = custom_package(bash_runtime(body))
    function = make_function(zip_file=zip_file, Runtime=runtime, Handler="some.thing")
    variables = dict(one.split("=", 1) for one in payload_of(invoke(function)))
    assert variables["PATH"] == f"{lang}/usr/local/bin:/usr/bin/:/bin:/opt/bin"
    # A custom runtime is no execution environment of a language, and no shell started it.
    for name in ("AWS_EXECUTION_ENV", "PWD", "SHLVL", "LC_CTYPE", "LAMBENT_LOG_FRAMES"):
        assert name not in variables
