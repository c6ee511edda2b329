"""One server for most tests, functions with names of their own, and the server's log on failure."""

import itertools
import json
import re
import time

import pytest

from support import traces
from support.package import PYTHON, other_nodes, package, python_package
from support.server import ACCOUNT, Server

ROLE = f"arn:aws:iam::{ACCOUNT}:role/lambda"
_numbers = itertools.count(1)
_servers: list[Server] = []


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows what the servers wrote during a test that failed; and nothing is left out in silence:
    a test that skips itself has failed."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped:
        report.outcome = "failed"
    if report.failed:
        for server in _servers:
            begun = item.stash.get(_LOG_AT, {}).get(server.log_path, 0)
            if text := server.log()[begun:][-20_000:]:
                report.sections.append((f"log of {server.data.name}", text))


_LOG_AT = pytest.StashKey[dict]()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    item.stash[_LOG_AT] = {server.log_path: len(server.log()) for server in _servers}


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """The server that most tests share."""
    server = Server(tmp_path_factory.mktemp("shared") / "data", *other_nodes())
    _servers.append(server)
    server.start()
    yield server
    processes = traces.children(server.process.pid)
    assert processes
    assert server.stop() == 0, "SIGTERM ends it in success"
    assert not traces.left_behind(processes, server.data)


def watch(server: Server) -> None:
    """Shows its log too where a test fails: for servers that a module has for itself."""
    _servers.append(server)


@pytest.fixture
def new_server(tmp_path):
    """Makes servers of the test's own, not yet started; they end with the test."""
    made = []

    def make(*arguments: str, data: str = "data", **variables: str) -> Server:
        server = Server(tmp_path / data, *arguments, **variables)
        made.append(server)
        _servers.append(server)
        return server

    yield make
    for server in made:
        if server.process and server.process.poll() is None:
            server.kill()
        _servers.remove(server)


@pytest.fixture(scope="session")
def client(server):
    return server.client()


@pytest.fixture(scope="session")
def raw_client(server):
    """A client that does not check requests before it sends them, so that the server must."""
    return server.client(parameter_validation=False)


@pytest.fixture
def name(request):
    """A function name that no other test has."""
    stem = re.sub(r"[^a-zA-Z0-9]+", "-", request.node.name.removeprefix("test_")).strip("-")
    return f"{stem[:40]}-{next(_numbers)}"


@pytest.fixture
def make_function(client, name):
    """Creates functions that are ready, and removes them after the test."""
    yield from function_factory(client, name)


def function_factory(client, stem):
    """The generator behind `make_function`, for other clients than the shared one."""
    made = []

    def make(code=None, *, files=None, zip_file=None, ready=True, **options) -> str:
        function = options.pop("FunctionName", f"{stem}-{len(made)}" if made else stem)
        if zip_file is None:
            zip_file = package(files) if files else python_package(code)
        arguments = {
            "Runtime": PYTHON,
            "Handler": "index.handler",
            "Role": ROLE,
            "Timeout": 10,
            "Code": {"ZipFile": zip_file},
        }
        client.create_function(FunctionName=function, **(arguments | options))
        made.append(function)
        if ready:
            until_active(client, function)
        return function

    yield make
    for function in made:
        try:
            client.delete_function(FunctionName=function)
        except client.exceptions.ResourceNotFoundException:
            pass


@pytest.fixture
def invoke(client):
    """Calls a function with an event that is yet to become JSON."""

    def invoke(function, event=None, **options):
        payload = json.dumps({} if event is None else event).encode()
        return client.invoke(FunctionName=function, Payload=payload, **options)

    return invoke


def until_active(client, function, timeout_s=30):
    """Like boto3's waiters, which look only once a second."""
    deadline = time.monotonic() + timeout_s
    while True:
        configuration = client.get_function_configuration(FunctionName=function)
        state, update = configuration["State"], configuration.get("LastUpdateStatus")
        if state == "Active" and update == "Successful":
            return configuration
        assert state in ("Pending", "Active") and update != "Failed", configuration
        assert time.monotonic() < deadline, f"{function} is {state}, {update}"
        time.sleep(0.01)


@pytest.fixture
def update_code(client):
    """Gives a function new code and waits until it is in force."""

    def update(function, code=None, **options):
        zip_file = options.pop("zip_file", None) or python_package(code)
        client.update_function_code(FunctionName=function, ZipFile=zip_file, **options)
        return until_active(client, function)

    return update
