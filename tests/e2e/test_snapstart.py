"""SnapStart: the init of a published version runs once, and its environments go on from there."""

import concurrent.futures
import contextlib
import json
import math
import os
import pathlib
import re
import signal
import time

import pytest
from botocore.exceptions import ClientError

from conftest import function_factory
from support import logs, sdk
from support.package import payload_of

SNAP_START = {"ApplyOn": "PublishedVersions"}

COUNTS = """
import os, random, time, uuid

born = str(uuid.uuid4())
loaded = list(range(100_000))
served = 0
print("init", os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"])

def handler(event, context):
    global served
    served += 1
    time.sleep(event.get("sleep", 0))
    return {
        "born": born, "served": served, "chance": random.random(), "uuid": str(uuid.uuid4()),
        "version": context.function_version, "type": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"],
        "loaded": len(loaded), "stream": context.log_stream_name,
        "secrets": [name for name in os.environ if "ACCESS_KEY" in name or "SESSION" in name],
    }
"""


@pytest.fixture(scope="session")
def runtime(server):
    """The oldest Python of this machine that has SnapStart."""
    found = json.loads(server.command_line("runtimes", "list", "--json").stdout)["runtimes"]
    usable = [one["runtime"] for one in found if one["available"]]
    fitting = [name for name in ("python3.12", "python3.13", "python3.14") if name in usable]
    assert fitting, f"the tests want a Python of 3.12 or later; here are {usable}"
    return fitting[0]


@pytest.fixture
def snapped(client, make_function, runtime):
    """Makes functions whose published versions begin from a snapshot; gives the version's ARN."""

    def make(code=COUNTS, *, until="Active", **options):
        options = {"Runtime": runtime, "SnapStart": SNAP_START, "MemorySize": 512} | options
        function = make_function(code, **options)
        return published(client, function, until)

    return make


def published(client, function, until="Active"):
    version = client.publish_version(FunctionName=function)
    assert version["State"] == "Pending"
    assert version["SnapStart"] == SNAP_START | {"OptimizationStatus": "Off"}
    arn = version["FunctionArn"]
    settled(client, arn, until)
    return arn


def settled(client, arn, until="Active", timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while True:
        configuration = client.get_function_configuration(FunctionName=arn)
        if configuration["State"] != "Pending":
            assert configuration["State"] == until, configuration
            return configuration
        assert time.monotonic() < deadline, configuration
        time.sleep(0.01)


def status(client, arn):
    return client.get_function_configuration(FunctionName=arn)["SnapStart"]["OptimizationStatus"]


def at_once(invoke, arn, count):
    """Answers of as many environments."""
    with concurrent.futures.ThreadPoolExecutor(count) as threads:
        answers = threads.map(lambda _: invoke(arn, {"sleep": 1}), range(count))
        return [payload_of(answer) for answer in answers]


def test_the_init_runs_once_for_all_environments(client, snapped, invoke):
    arn = snapped()
    assert status(client, arn) == "On"
    answers = at_once(invoke, arn, 4)
    assert [answer["served"] for answer in answers] == [1] * 4
    assert len({answer["born"] for answer in answers}) == 1
    assert len({answer["chance"] for answer in answers}) == 4
    assert len({answer["uuid"] for answer in answers}) == 4
    for answer in answers:
        assert (answer["version"], answer["type"], answer["loaded"]) == ("1", "snap-start", 100_000)
        # Lambda has neither in a version with SnapStart.
        assert (answer["stream"], answer["secrets"]) == (None, [])
    again = payload_of(invoke(arn))
    assert again["served"] == 2


def test_latest_is_as_ever(client, snapped, invoke):
    arn = snapped()
    function = arn.rsplit(":", 1)[0]
    answer = payload_of(invoke(function))
    assert (answer["version"], answer["type"]) == ("$LATEST", "on-demand")
    assert answer["born"] != payload_of(invoke(arn))["born"]
    latest = client.get_function_configuration(FunctionName=function)
    assert latest["SnapStart"] == SNAP_START | {"OptimizationStatus": "Off"}


def test_the_log_tells_of_init_and_restores(server, snapped, invoke, runtime):
    arn = snapped()
    function = arn.split(":")[6]
    first, second = logs.tail(invoke(arn, LogType="Tail")), logs.tail(invoke(arn, LogType="Tail"))
    report = re.search(
        r"REPORT RequestId: \S+\tDuration: ([\d.]+) ms\tBilled Duration: (\d+) ms\t"
        r"Memory Size: 512 MB\tMax Memory Used: (\d+) MB\t"
        r"Restore Duration: ([\d.]+) ms\tBilled Restore Duration: (\d+) ms\t\n",
        first,
    )
    assert report, first
    assert abs(int(report[2]) - (math.ceil(float(report[1])) + int(report[5]))) <= 1
    # The init's, which it shares, and its own.
    assert int(report[3]) > 5
    assert "Restore" not in second and "Init" not in second
    said = server.command_line("logs", function).stdout
    identity = re.escape(runtime.replace("python", "python:"))
    assert re.search(rf"RESTORE_START Runtime Version: {identity}\b", said), said
    assert f"RESTORE_REPORT Restore Duration: {report[4]} ms" in said
    assert re.search(r"INIT_REPORT Init Duration: [\d.]+ ms\tPhase: init", said), said
    assert said.count("init snap-start") == 1


CALLS = """
import boto3, os
lambda_ = boto3.client("lambda")
sts_before = lambda_.list_functions()["Functions"][0]["FunctionName"]

def handler(event, context):
    keys = lambda_._request_signer._credentials.get_frozen_credentials()
    names = [one["FunctionName"] for one in lambda_.list_functions()["Functions"]]
    return {"names": names, "key": keys.access_key, "before": sts_before}
"""


def test_every_environment_has_credentials_of_its_own(client, snapped, invoke, runtime):
    """Also in a client that was made, and used, in the init."""
    arn = snapped(
        None, zip_file=sdk.python_package(CALLS), Timeout=30,
        Tags={"lambent:network": "off"},
    )
    function = arn.split(":")[6]
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda _: payload_of(invoke(arn)), range(2)))
    for answer in answers:
        assert function in answer["names"], answer
        assert answer["key"].startswith("ASIA")


HOOKS = """
import os, time
from snapshot_restore_py import register_after_restore, register_before_snapshot

order = []

@register_before_snapshot
def first():
    order.append("before, first registered")

@register_before_snapshot
def second():
    order.append("before, second registered")

@register_after_restore
def third():
    order.append("after")
    AFTER

def handler(event, context):
    return order
"""


def test_hooks_run_around_the_snapshot(snapped, invoke):
    arn = snapped(HOOKS.replace("AFTER", "pass"))
    expected = ["before, second registered", "before, first registered", "after"]
    assert payload_of(invoke(arn)) == expected


@pytest.mark.parametrize(
    "code, error",
    [("raise RuntimeError('not today')", "SnapStartException"),
     ("time.sleep(60)", "SnapStartTimeoutException")],
)
def test_what_fails_after_a_restore_fails_the_request(client, snapped, invoke, code, error):
    arn = snapped(HOOKS.replace("AFTER", code))
    with pytest.raises(ClientError) as refused:
        invoke(arn)
    assert refused.value.response["Error"]["Code"] == error
    assert status(client, arn) == "On"


@pytest.mark.parametrize(
    "code, reason",
    [
        ("raise ValueError('no such table')", "no such table"),
        ("import os\nos._exit(3)", "Runtime.ExitError"),
        # Which may have been the platform's doing, and is tried again.
        ("import os\nos.kill(os.getpid(), 9)", "signal: killed"),
        (HOOKS.replace("order.append(\"before, first", "raise ValueError(\"before, first"),
         "Runtime.BeforeSnapshotError"),
    ],
)
def test_an_init_that_fails_fails_the_version(client, snapped, code, reason):
    arn = snapped(code, until="Failed")
    configuration = client.get_function_configuration(FunctionName=arn)
    assert configuration["StateReasonCode"] == "FunctionError.RuntimeInitError"
    assert reason in configuration["StateReason"]
    assert configuration["SnapStart"]["OptimizationStatus"] == "Off"


def test_a_version_that_waits_for_its_snapshot_is_not_ready(client, make_function, invoke, runtime):
    slow = "import time\ntime.sleep(3)\ndef handler(event, context): return 1"
    function = make_function(slow, Runtime=runtime, SnapStart=SNAP_START)
    arn = client.publish_version(FunctionName=function)["FunctionArn"]
    with pytest.raises(ClientError) as refused:
        invoke(arn)
    assert refused.value.response["Error"]["Code"] == "SnapStartNotReadyException"
    settled(client, arn)
    assert payload_of(invoke(arn)) == 1


def test_a_snapshot_is_made_again(new_server, runtime):
    """After a restart, after a crash, and when its process is killed."""
    server = new_server().start()
    client = server.client()
    function = next(function_factory(client, "f"))(COUNTS, Runtime=runtime, SnapStart=SNAP_START)
    arn = published(client, function)
    births = [payload_of(client.invoke(FunctionName=arn))["born"]]

    server.stop()
    server.start()
    births.append(on_again(server, arn))
    server.kill()
    server.start()
    births.append(on_again(server, arn))
    for pid in descendants(server.process.pid, b"/var/runtime/zygote.py"):
        # Some go with others.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    answer = until_answered(server.client(), arn)
    births.append(answer["born"])
    assert len(set(births)) == 4


def test_a_snapshot_in_the_making_is_made_after_a_crash(new_server, runtime):
    server = new_server().start()
    client = server.client()
    slow = "import time\ntime.sleep(3)\ndef handler(event, context): return 1"
    function = next(function_factory(client, "f"))(slow, Runtime=runtime, SnapStart=SNAP_START)
    arn = client.publish_version(FunctionName=function)["FunctionArn"]
    server.kill()
    client = server.start().client()
    assert settled(client, arn)["SnapStart"]["OptimizationStatus"] == "On"
    assert payload_of(client.invoke(FunctionName=arn)) == 1


def on_again(server, arn):
    """Without a request, there is a snapshot again."""
    client = server.client()
    deadline = time.monotonic() + 60
    while status(client, arn) != "On":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return payload_of(client.invoke(FunctionName=arn))["born"]


def until_answered(client, arn):
    """The platform waits a moment before it starts an interpreter that was killed again."""
    deadline = time.monotonic() + 60
    while True:
        try:
            answer = client.invoke(FunctionName=arn)
            if "FunctionError" not in answer:
                return payload_of(answer)
        except ClientError as error:
            assert error.response["Error"]["Code"] == "SnapStartException", error
        assert time.monotonic() < deadline
        time.sleep(0.2)


def descendants(of, mentioning):
    parents = {}
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            stat = (path / "stat").read_text().rpartition(") ")[2].split()
            parents[int(path.name)] = (int(stat[1]), (path / "cmdline").read_bytes())
        except OSError:
            continue

    def is_below(pid):
        while pid in parents:
            pid = parents[pid][0]
            if pid == of:
                return True
        return False

    return [pid for pid, (_, line) in parents.items() if mentioning in line and is_below(pid)]


@pytest.mark.parametrize("other", ["python3.11", "provided.al2023"])
def test_other_runtimes_are_refused_in_lambdas_words(client, make_function, other):
    with pytest.raises(ClientError) as refused:
        make_function("", Runtime=other, SnapStart=SNAP_START)
    error = refused.value.response["Error"]
    assert error["Code"] == "InvalidParameterValueException"
    assert error["Message"] == f"{other} is not supported for SnapStart enabled functions."


def test_it_is_switched_by_an_update(client, make_function, runtime):
    function = make_function(COUNTS, Runtime=runtime)
    updated = client.update_function_configuration(FunctionName=function, SnapStart=SNAP_START)
    assert updated["SnapStart"] == SNAP_START | {"OptimizationStatus": "Off"}
    client.get_waiter("function_updated_v2").wait(FunctionName=function)
    arn = published(client, function)
    assert status(client, arn) == "On"
    updated = client.update_function_configuration(
        FunctionName=function, SnapStart={"ApplyOn": "None"})
    assert updated["SnapStart"] == {"ApplyOn": "None", "OptimizationStatus": "Off"}
    # The version stays what it is.
    assert status(client, arn) == "On"
    client.delete_function(FunctionName=function, Qualifier="1")
