"""Running it: start, health, metrics, drain, crash, restart, and being left alone."""

import concurrent.futures
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

from conftest import ROLE, function_factory, until_active
from support import http, traces
from support.policy import open_to_all
from support.package import ECHO, NODE, PYTHON, payload_of, python_package
from support.server import binary, environment

SLEEPER = "import time\ndef handler(event, context):\n    time.sleep(event['s'])\n    return 'done'\n"


def make(client, code=None, name="kept", **options):
    return next(function_factory(client, name))(code, **options)


def refuses(tmp_path, *arguments, **variables) -> str:
    """What `lambent up` says when it will not start."""
    run = subprocess.run(
        [binary(), "up", "--data", str(tmp_path / "refused"), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        env=environment(**variables),
    )
    assert run.returncode != 0
    assert "ready" not in run.stdout
    return run.stderr


class TestStart:
    def test_beyond_loopback_it_wants_credentials(self, tmp_path):
        said = refuses(tmp_path, "--listen", "0.0.0.0:0")
        assert "credentials" in said

    def test_a_port_that_is_taken(self, server, tmp_path):
        said = refuses(tmp_path, "--listen", f"127.0.0.1:{server.port}")
        assert str(server.port) in said

    def test_a_data_directory_that_is_in_use(self, server, tmp_path):
        run = subprocess.run(
            [binary(), "up", "--listen", "127.0.0.1:0", "--data", str(server.data)],
            capture_output=True,
            text=True,
            timeout=20,
            env=environment(),
        )
        assert run.returncode != 0
        assert str(server.data) in run.stderr

    def test_an_option_that_is_none(self, tmp_path):
        assert "--colour" in refuses(tmp_path, "--colour", "red")

    def test_a_store_that_is_not_there(self, tmp_path):
        said = refuses(tmp_path, "--listen", "127.0.0.1:0", "--store", "postgres://127.0.0.1:1/x")
        assert "127.0.0.1:1" in said or "store" in said.lower()
        assert "password" not in said

    def test_it_says_what_it_enforces(self, server):
        assert re.search(r"isolation|jail|cgroup", server.log())


def test_what_clients_are_told_begins_with_its_public_url(new_server):
    for url, expected in [
        ("https://fn.example:8443", r"https://[a-z0-9]+\.lambda-url\.us-east-1\.fn\.example:8443/"),
        ("http://192.0.2.7", r"http://192\.0\.2\.7/_lambent/url/[a-z0-9]+/"),
    ]:
        server = new_server("--url", url, data=f"data-of-{url[-4:]}").start()
        client = server.client()
        function = make(client, ECHO)
        made = client.create_function_url_config(FunctionName=function, AuthType="NONE")
        assert re.fullmatch(expected, made["FunctionUrl"])
        location = client.get_function(FunctionName=function)["Code"]["Location"]
        assert location.startswith(f"{url}/_lambent/code/")


class TestEndpoints:
    def test_health(self, server):
        assert http.request(server, "GET", server.url + "/_lambent/health").status == 200

    def test_metrics(self, server, client, make_function):
        client.invoke(FunctionName=make_function(ECHO))
        answer = http.request(server, "GET", server.url + "/_lambent/metrics")
        assert answer.status == 200
        assert answer.header("content-type").startswith("text/plain")
        samples = parse_metrics(answer.body.decode())
        assert samples and all(name.startswith("lambent_") or name.startswith("process_") for name in samples)
        assert any("invocations" in name or "invokes" in name for name in samples)

    def test_metrics_labels_are_bounded(self, server, client, make_function):
        """As many functions as come and go, the number of series stays."""

        def series():
            answer = http.request(server, "GET", server.url + "/_lambent/metrics")
            return len([line for line in answer.body.splitlines() if line[:1] not in (b"#", b"")])

        client.invoke(FunctionName=make_function(ECHO))
        before = series()
        for _ in range(5):
            function = make_function(ECHO)
            client.invoke(FunctionName=function)
            client.delete_function(FunctionName=function)
        for number in range(20):
            http.request(server, "GET", f"{server.url}/unknown-{number}")
        assert series() <= before + 3


def parse_metrics(text) -> set[str]:
    names = set()
    for line in text.splitlines():
        if line and not line.startswith("#"):
            match = re.fullmatch(r"([a-zA-Z_:][\w:]*)(\{.*\})? (\S+)( \d+)?", line)
            assert match, line
            float(match[3])
            names.add(match[1])
    return names


class TestStop:
    def test_running_requests_are_finished(self, new_server):
        server = new_server().start()
        client = server.client()
        function = make(client, SLEEPER)
        before = traces.children(server.process.pid)
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            running = [
                pool.submit(client.invoke, FunctionName=function, Payload=b'{"s": 2}')
                for _ in range(3)
            ]
            time.sleep(0.7)
            before |= traces.children(server.process.pid)
            assert server.stop() == 0
            for call in running:
                assert payload_of(call.result()) == "done"
        assert not traces.alive(before)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port), timeout=5)

    def test_a_request_that_takes_too_long_is_cut_off(self, new_server):
        server = new_server("--drain", "1").start()
        client = server.client()
        function = make(client, SLEEPER, Timeout=60)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            running = pool.submit(client.invoke, FunctionName=function, Payload=b'{"s": 50}')
            time.sleep(1)
            begun = time.monotonic()
            assert server.stop() == 0
            assert 0.5 < time.monotonic() - begun < 10
            assert running.exception()

    def test_an_idle_connection_does_not_hold_it(self, new_server):
        server = new_server().start()
        with socket.create_connection(("127.0.0.1", server.port), timeout=5):
            begun = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - begun < 10

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_both_signals_end_it(self, new_server, number):
        server = new_server().start()
        server.process.send_signal(number)
        assert server.process.wait(20) == 0

    def test_nothing_is_left(self, new_server):
        server = new_server().start()
        client = server.client()
        function = make(client, ECHO)
        client.invoke(FunctionName=function)
        processes = traces.children(server.process.pid)
        assert processes
        assert server.stop() == 0
        assert not traces.left_behind(processes, server.data)


class TestCrash:
    def test_nothing_of_the_previous_run_is_left(self, new_server):
        server = new_server().start()
        client = server.client()
        python = make(client, ECHO, name="python")
        node = make(
            client,
            files={"index.js": "exports.handler = async () => 1;"},
            Runtime=NODE,
            name="node",
        )
        sleeping = make(client, SLEEPER, name="sleeping", Timeout=60)
        for function in (python, node):
            client.invoke(FunctionName=function)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            running = pool.submit(client.invoke, FunctionName=sleeping, Payload=b'{"s": 50}')
            time.sleep(1)
            processes = traces.children(server.process.pid)
            assert processes
            server.kill()
            assert running.exception()
        deadline = time.monotonic() + 10
        while traces.alive(processes) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not traces.alive(processes), "they go with the server, before any restart"
        server.start()
        assert payload_of(server.client().invoke(FunctionName=python, Payload=b"7")) == 7
        processes |= traces.children(server.process.pid)
        assert server.stop() == 0
        assert not traces.left_behind(processes, server.data)

    def test_functions_are_there_again(self, new_server):
        server = new_server().start()
        client = server.client()
        function = make(client, ECHO, Tags={"a": "b"}, MemorySize=192)
        client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=3)
        url = client.create_function_url_config(FunctionName=function, AuthType="NONE")["FunctionUrl"]
        open_to_all(client, function)
        described = client.get_function(FunctionName=function)
        for _ in range(3):
            server.kill()
            server.start()
        client = server.client()
        again = client.get_function(FunctionName=function)
        assert again["Configuration"] == described["Configuration"]
        assert again["Tags"] == {"a": "b"}
        assert again["Concurrency"] == {"ReservedConcurrentExecutions": 3}
        assert payload_of(client.invoke(FunctionName=function, Payload=b'"x"')) == "x"
        # The port is another one, the URL's name is the same.
        name = url.split("/")[2].rsplit(":", 1)[0]
        found = client.get_function_url_config(FunctionName=function)["FunctionUrl"]
        assert found.split("/")[2].rsplit(":", 1)[0] == name
        assert http.request(server, "GET", found).status == 200

    def test_what_was_acknowledged_is_there(self, new_server):
        """Killed at once after the answer, over and over."""
        server = new_server().start()
        for number in range(5):
            client = server.client()
            client.create_function(
                FunctionName=f"kept-{number}",
                Runtime=PYTHON,
                Handler="index.handler",
                Role=ROLE,
                Code={"ZipFile": python_package(ECHO)},
            )
            server.kill()
            server.start()
        client = server.client()
        listed = sorted(item["FunctionName"] for item in client.list_functions()["Functions"])
        assert listed == [f"kept-{number}" for number in range(5)]
        for function in listed:
            until_active(client, function)
            assert payload_of(client.invoke(FunctionName=function, Payload=b"1")) == 1


class TestPostgres:
    def test_as_the_store(self, new_server):
        """The same platform on the other engine, and again after a crash."""
        url = os.environ["LAMBENT_TEST_POSTGRES"]
        database = f"lambent_e2e_{os.getpid()}"
        with_database = url.rsplit("/", 1)[0] + "/" + database
        create_database(url, database)
        server = new_server("--store", with_database).start()
        client = server.client()
        function = make(client, ECHO)
        assert payload_of(client.invoke(FunctionName=function, Payload=b"1")) == 1
        server.kill()
        server.start()
        client = server.client()
        assert payload_of(client.invoke(FunctionName=function, Payload=b"2")) == 2
        client.delete_function(FunctionName=function)
        assert server.stop() == 0


def create_database(url, name):
    """With `psql`, which comes with the server's binaries."""
    installed = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/psql"))
    psql = shutil.which("psql") or (installed and str(installed[-1]))
    assert psql, "the test makes a database with psql, which is not here"
    run = subprocess.run(
        [psql, url, "-c", f"CREATE DATABASE {name}"], capture_output=True, text=True, timeout=30
    )
    assert run.returncode == 0, run.stderr


class TestIdle:
    def test_it_uses_no_processor(self, new_server):
        server = new_server().start()
        client = server.client()
        client.invoke(FunctionName=make(client, ECHO))
        time.sleep(1)
        before = traces.cpu_seconds(server.process.pid)
        time.sleep(3)
        assert traces.cpu_seconds(server.process.pid) - before <= 0.03

    def test_it_is_small(self, new_server):
        server = new_server().start()
        status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
        resident_kb = int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])
        assert resident_kb < 80_000, "40 MB in release, more with debug assertions"


class TestIsolationNone:
    def test_is_said_aloud_and_runs(self, new_server):
        server = new_server("--isolation", "none").start()
        assert "isolation" in server.log().lower()
        client = server.client()
        assert payload_of(client.invoke(FunctionName=make(client, ECHO), Payload=b"1")) == 1
        assert server.stop() == 0
