"""The commands that help a newcomer, and AWS's own command line."""

import contextlib
import http.server
import json
import os
import random
import re
import subprocess
import threading
import time

import pytest

from conftest import ROLE
from support.package import ECHO, PYTHON, package
from support.server import binary, environment


@pytest.fixture
def folder(tmp_path, name):
    """A folder of code, as somebody would write it."""
    folder = tmp_path / name
    folder.mkdir()
    write(folder, "first")
    return folder


def write(folder, word):
    (folder / "index.py").write_text(
        f"def handler(event, context):\n    print('asked', event)\n    return {{'word': '{word}', 'event': event}}\n"
    )


@pytest.fixture
def lambent(server):
    """Runs `lambent …`; what it prints, where it succeeds."""

    def run(*arguments):
        run = server.command_line(*arguments)
        assert run.returncode == 0, f"{arguments}: {run.stdout}\n{run.stderr}"
        return run.stdout

    return run


class TestDeploy:
    def test_makes_a_function_with_a_url(self, server, client, lambent, folder, name):
        from support import http

        deployed = json.loads(lambent("deploy", str(folder), "--json"))
        assert deployed["function"] == name
        configuration = client.get_function_configuration(FunctionName=name)
        assert configuration["State"] == "Active"
        assert configuration["Runtime"].startswith("python3.")
        url = client.get_function_url_config(FunctionName=name)["FunctionUrl"]
        assert deployed["url"] == url
        answer = http.request(server, "GET", url)
        assert answer.status == 200
        assert answer.json()["word"] == "first"
        client.delete_function(FunctionName=name)

    def test_again_after_a_change(self, client, lambent, folder, name):
        lambent("deploy", str(folder))
        url = client.get_function_url_config(FunctionName=name)["FunctionUrl"]
        assert json.loads(lambent("invoke", name))["word"] == "first"
        write(folder, "second")
        lambent("deploy", str(folder))
        assert json.loads(lambent("invoke", name))["word"] == "second"
        assert client.get_function_url_config(FunctionName=name)["FunctionUrl"] == url
        client.delete_function(FunctionName=name)

    def test_what_function_json_says(self, client, lambent, folder, name):
        described = {"Description": "says a word", "MemorySize": 192, "Timeout": 7}
        (folder / "function.json").write_text(json.dumps(described))
        lambent("deploy", str(folder))
        found = client.get_function_configuration(FunctionName=name)
        assert {key: found[key] for key in described} == described
        described["Description"] = "says another word"
        (folder / "function.json").write_text(json.dumps(described))
        assert json.loads(lambent("deploy", str(folder), "--json"))["action"] == "updated"
        found = client.get_function_configuration(FunctionName=name)
        assert found["Description"] == "says another word"
        assert json.loads(lambent("deploy", str(folder), "--json"))["action"] == "unchanged"
        client.delete_function(FunctionName=name)

    def test_another_language_than_before(self, client, lambent, folder, name):
        """The first runtime of the new one's list that has an interpreter here."""
        lambent("deploy", str(folder))
        (folder / "index.py").unlink()
        (folder / "index.mjs").write_text("export const handler = async () => 'in JavaScript'\n")
        deployed = json.loads(lambent("deploy", str(folder), "--json"))
        assert deployed["runtime"].startswith("nodejs")
        assert json.loads(lambent("invoke", name)) == "in JavaScript"
        client.delete_function(FunctionName=name)

    def test_a_bootstrap_that_is_not_executable(self, server, tmp_path):
        (tmp_path / "bootstrap").write_text("#!/bin/sh\n")
        run = server.command_line("deploy", str(tmp_path))
        assert run.returncode != 0
        assert f"chmod +x {tmp_path}/bootstrap" in run.stderr

    def test_packages_that_are_not_there_are_told(self, server, client, folder, name):
        (folder / "requirements.txt").write_text("requests\n")
        run = server.command_line("deploy", str(folder))
        assert run.returncode == 0, run.stderr
        assert "pip install" in run.stderr
        client.delete_function(FunctionName=name)

    def test_more_than_50_mb(self, server, folder):
        (folder / "noise").write_bytes(random.Random(0).randbytes(53_000_000))
        run = server.command_line("deploy", str(folder))
        assert run.returncode != 0
        assert "52.4 MB" in run.stderr

    def test_a_folder_that_is_not_there(self, server):
        run = server.command_line("deploy", "/nowhere/at-all")
        assert run.returncode != 0
        assert "/nowhere/at-all" in run.stderr

    def test_a_folder_without_code(self, server, tmp_path):
        (tmp_path / "readme.txt").write_text("nothing\n")
        run = server.command_line("deploy", str(tmp_path))
        assert run.returncode != 0
        assert run.stderr.strip()


class TestInvoke:
    def test_prints_the_answer(self, lambent, make_function):
        function = make_function(ECHO)
        assert json.loads(lambent("invoke", function)) == {}
        assert json.loads(lambent("invoke", function, '{"a": 1}')) == {"a": 1}

    def test_as_json(self, lambent, make_function):
        function = make_function(ECHO)
        answer = json.loads(lambent("invoke", function, '{"a": 1}', "--json"))
        assert answer["payload"] == {"a": 1}

    def test_a_failure_shows_and_fails(self, server, make_function):
        function = make_function("def handler(event, context):\n    raise KeyError('lost')\n")
        run = server.command_line("invoke", function)
        assert run.returncode != 0
        assert "KeyError" in run.stdout + run.stderr

    def test_a_function_that_is_not_there(self, server):
        run = server.command_line("invoke", "nowhere")
        assert run.returncode != 0
        assert "nowhere" in run.stderr


class TestLogs:
    def test_shows_the_log(self, client, lambent, make_function):
        function = make_function("def handler(event, context):\n    print('a line of it')\n")
        client.invoke(FunctionName=function)
        text = lambent("logs", function)
        assert "a line of it" in text
        assert "START RequestId: " in text and "REPORT RequestId: " in text

    def test_as_json(self, client, lambent, make_function):
        function = make_function("def handler(event, context):\n    print('a line of it')\n")
        client.invoke(FunctionName=function)
        lines = [json.loads(line) for line in lambent("logs", function, "--json").splitlines()]
        assert any("a line of it" in line["message"] for line in lines)
        assert all(line["timestamp"] for line in lines)

    def test_follows(self, server, client, make_function):
        function = make_function("def handler(event, context):\n    print('seen', event['n'])\n")
        client.invoke(FunctionName=function, Payload=b'{"n": 1}')
        with followed(server, function) as following:
            until_line(following, "seen 1")
            client.invoke(FunctionName=function, Payload=b'{"n": 2}')
            until_line(following, "seen 2")

    def test_follows_a_flood_without_a_gap(self, server, client, make_function):
        code = (
            "def handler(event, context):\n"
            "    print(*(f'line {n} of many' for n in range(30000)), sep='\\n')\n"
        )
        function = make_function(code, Timeout=30)
        with followed(server, function) as following:
            client.invoke(FunctionName=function)
            seen = []
            for line in following.stdout:
                seen += [int(n) for n in re.findall(r"line (\d+) of many", line)]
                if "REPORT RequestId" in line:
                    break
        assert seen == list(range(30000))

    def test_a_function_does_not_command_the_terminal(self, server, client, make_function):
        code = "def handler(event, context):\n    print('\\x1b]0;owned\\x07 \\x1b[2J \\x1b[32mgreen')\n"
        function = make_function(code)
        client.invoke(FunctionName=function)
        ours, theirs = os.openpty()
        shown = subprocess.run(
            [binary(), "logs", function],
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            env=environment(AWS_ENDPOINT_URL=server.url),
        )
        assert shown.returncode == 0
        text = os.read(ours, 1 << 16)
        os.close(ours)
        os.close(theirs)
        assert b"owned" in text and b"\x1b[32mgreen" in text
        assert b"\x1b]" not in text and b"\x1b[2J" not in text

    def test_of_a_function_that_is_not_there(self, server):
        run = server.command_line("logs", "nowhere")
        assert run.returncode != 0
        assert "nowhere" in run.stderr


@contextlib.contextmanager
def followed(server, function):
    """`lambent logs --follow`, ended with the block."""
    following = subprocess.Popen(
        [binary(), "logs", function, "--follow"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(AWS_ENDPOINT_URL=server.url),
    )
    try:
        yield following
    finally:
        following.terminate()
        following.wait(10)
        following.stdout.close()


def until_line(process, text):
    """Reads until a line has the text; pytest's timeout is the bound."""
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"it ended without {text!r}")


class TestFunctions:
    def test_lists_them(self, lambent, make_function):
        function = make_function(ECHO, MemorySize=192)
        text = lambent("functions")
        (line,) = [line for line in text.splitlines() if function in line]
        assert PYTHON in line and "192" in line

    def test_as_json(self, lambent, make_function):
        function = make_function(ECHO, MemorySize=192)
        listed = json.loads(lambent("functions", "--json"))
        (found,) = [item for item in listed["functions"] if item["name"] == function]
        assert found["runtime"] == PYTHON and found["memory_mb"] == 192


class TestQueues:
    def test_lists_them_with_what_waits(self, server, lambent, name):
        sqs = server.client("sqs")
        dead = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])
        redrive = {"deadLetterTargetArn": arn["Attributes"]["QueueArn"], "maxReceiveCount": 3}
        queue = sqs.create_queue(
            QueueName=name, Attributes={"RedrivePolicy": json.dumps(redrive)}
        )["QueueUrl"]
        sqs.send_message(QueueUrl=queue, MessageBody="waits")
        sqs.send_message(QueueUrl=queue, MessageBody="later", DelaySeconds=900)
        sqs.send_message(QueueUrl=queue, MessageBody="is taken")
        sqs.receive_message(QueueUrl=queue)
        listed = json.loads(lambent("queues", "--json"))["queues"]
        (found,) = [item for item in listed if item["name"] == name]
        assert (found["visible"], found["in_flight"], found["delayed"]) == (1, 1, 1)
        assert found["dead_letter_queue"] == f"{name}-dead" and found["functions"] == []
        text = lambent("queues")
        (line,) = [line for line in text.splitlines() if line.startswith(f"{name} ")]
        assert line.split() == [name, "1", "1", "1", "-", f"{name}-dead"]


class TestHelp:
    def test_help_names_every_command(self):
        run = subprocess.run([binary(), "--help"], capture_output=True, text=True, timeout=10)
        assert run.returncode == 0
        for command in ("up", "demo", "deploy", "invoke", "logs", "functions", "queues", "usage"):
            assert re.search(rf"^\s+{command}\b", run.stdout, re.M), command

    def test_the_version(self):
        run = subprocess.run([binary(), "--version"], capture_output=True, text=True, timeout=10)
        assert run.returncode == 0
        assert re.fullmatch(r"lambent \d+\.\d+\.\d+.*\n", run.stdout)

    @pytest.mark.parametrize("command", ["functions", "queues", "usage", "invoke x", "logs x"])
    def test_no_platform_is_said_clearly(self, command):
        run = subprocess.run(
            [binary(), *command.split()],
            capture_output=True,
            text=True,
            timeout=20,
            env=environment(AWS_ENDPOINT_URL="http://127.0.0.1:1"),
        )
        assert run.returncode != 0
        assert "http://127.0.0.1:1" in run.stderr
        assert "lambent up" in run.stderr, "it says how to start one"


    def test_another_server_is_told_from_a_platform(self):
        class Nothing(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_error(404)

            def log_message(self, *_):
                pass

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Nothing) as other:
            thread = threading.Thread(target=other.serve_forever)
            thread.start()
            try:
                url = f"http://127.0.0.1:{other.server_port}"
                run = subprocess.run(
                    [binary(), "logs", "x"],
                    capture_output=True,
                    text=True,
                    timeout=20,
                    env=environment(AWS_ENDPOINT_URL=url),
                )
            finally:
                other.shutdown()
                thread.join()
        assert run.returncode != 0
        assert url in run.stderr and "no Lambent" in run.stderr
        assert "there is no function" not in run.stderr

    @pytest.mark.parametrize("command", ["functions", "usage --json"])
    def test_a_reader_that_has_gone(self, server, command):
        running = subprocess.Popen(
            [binary(), *command.split()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(AWS_ENDPOINT_URL=server.url),
        )
        running.stdout.close()
        with running.stderr:
            said = running.stderr.read()
        assert running.wait(20) == 0, said
        assert said == ""


class TestAwsCli:
    """With nothing but `AWS_ENDPOINT_URL` and some credentials in the environment."""

    def test_a_functions_life(self, server, tmp_path, name):
        code = tmp_path / "code.zip"
        answer = tmp_path / "answer.json"
        code.write_bytes(package({"index.py": ECHO}))

        def aws(*arguments):
            run = server.aws("lambda", *arguments)
            assert run.returncode == 0, run.stderr
            return json.loads(run.stdout) if run.stdout.strip() else None

        function = ("--function-name", name)
        zip_file = ("--zip-file", f"fileb://{code}")
        made = aws(
            "create-function", *function, *zip_file, "--runtime", PYTHON, "--handler",
            "index.handler", "--role", ROLE,
        )
        assert made["State"] == "Pending"
        aws("wait", "function-active-v2", *function)
        said = aws(
            "invoke", *function, "--payload", '{"a": 1}', "--log-type", "Tail", str(answer),
        )
        assert said["StatusCode"] == 200 and said["LogResult"]
        assert json.loads(answer.read_text()) == {"a": 1}
        aws("update-function-configuration", *function, "--timeout", "9")
        aws("wait", "function-updated-v2", *function)
        found = aws("get-function-configuration", *function)
        assert found["Timeout"] == 9
        listed = aws("list-functions")["Functions"]
        assert name in [item["FunctionName"] for item in listed]
        aws("delete-function", *function)
        gone = server.aws("lambda", "get-function", *function)
        assert gone.returncode != 0 and "ResourceNotFoundException" in gone.stderr
