"""Faults at any moment: what was acknowledged holds, what is told is true, and nothing is left over.

A few clients work without pause: one publishes versions and moves an alias, one sends events, one
reads streams, one makes snapshots, one invokes what is provisioned. Meanwhile processes are killed
or stopped, those of the server, of the jailer, of stations and of environments, as the seed says.
The clients write down what they were told; the checker compares. `LAMBENT_FAULT_SEED` and
`LAMBENT_FAULT_ROUNDS` repeat a run or make it longer.
"""

import contextlib
import json
import os
import pathlib
import random
import signal
import threading
import time

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from conftest import function_factory, until_active
from support import traces
from support.package import payload_of, python_package
from test_provisioned_concurrency import until_ready
from test_snapstart import SNAP_START, runtime  # noqa: F401

ROUNDS = int(os.environ.get("LAMBENT_FAULT_ROUNDS", "1"))
SEED = int(os.environ.get("LAMBENT_FAULT_SEED", "5"))

ECHO = "number = {}\ndef handler(event, context): return [number, context.function_version, event]\n"
STREAM = """
import time
def handler(event, context):
    time.sleep(0.1)
    return "x" * 100_000
"""
# What may be said while something that the answer needs was killed.
EXCUSES = (BotoCoreError, ClientError, ConnectionError)


class Platform:
    """The server, its processes by what they are, and clients that outlast it."""

    def __init__(self, server):
        self.server = server
        self.seen = set()

    def client(self, service="lambda"):
        return self.server.client(service)

    def processes(self):
        """Pids of everything below the server: {kind: [pid]}."""
        found = traces.children(self.server.process.pid)
        self.seen |= found
        kinds = {"keeper": [], "jailer": [], "other": []}
        for pid, _ in traces.alive(found):
            with contextlib.suppress(OSError):
                name = pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
                kind = name.removeprefix("lambent-")
                kinds.get(kind, kinds["other"]).append(pid)
        return kinds

    def restart(self):
        self.processes()
        self.server.kill()
        assert not traces.left_behind(self.seen, self.server.data, within_s=15)
        self.server.start()


class Work(threading.Thread):
    """A client that does the same over and over until it is told to stop; `step` may find that the
    platform is not there, and says so by an exception of EXCUSES."""

    def __init__(self, platform, step):
        super().__init__(daemon=True)
        self.platform, self.step = platform, step
        self.ended, self.trouble, self.done = threading.Event(), None, 0

    def run(self):
        clients = {}
        while not self.ended.is_set():
            url = self.platform.server.url
            if url not in clients:
                clients = {url: (self.platform.client(), self.platform.client("sqs"))}
            try:
                self.step(*clients[url])
                self.done += 1
            except EXCUSES:
                self.ended.wait(0.05)
            except Exception as error:  # The test shows it.
                self.trouble = error
                return

    def finish(self):
        self.ended.set()
        self.join(120)
        assert not self.is_alive(), f"{self.step} hangs"
        if self.trouble:
            raise self.trouble


class Publisher:
    """Versions and an alias. Of each request that was not answered either outcome is right."""

    def __init__(self, function):
        self.function = function
        self.number = 0
        self.published = {}
        self.alias = {"1"}

    def step(self, client, _):
        until_active(client, self.function)
        self.number += 1
        code = python_package(ECHO.format(self.number))
        client.update_function_code(FunctionName=self.function, ZipFile=code)
        until_active(client, self.function)
        version = client.publish_version(FunctionName=self.function)["Version"]
        self.published[version] = self.number
        self.alias.add(version)
        moved = client.update_alias(
            FunctionName=self.function, Name="live", FunctionVersion=version
        )
        assert moved["FunctionVersion"] == version
        self.alias = {version}

    def check(self, client):
        pages = client.get_paginator("list_versions_by_function").paginate(
            FunctionName=self.function
        )
        found = {one["Version"]: one for page in pages for one in page["Versions"]}
        assert set(self.published) <= set(found)
        numbers = sorted(int(version) for version in found if version != "$LATEST")
        assert numbers == list(range(1, len(numbers) + 1))
        for version in found:
            until_active(client, f"{self.function}:{version}")
        live = client.get_alias(FunctionName=self.function, Name="live")
        assert live["FunctionVersion"] in self.alias, (live, self.alias)
        for version in [live["FunctionVersion"], *list(self.published)[-2:]]:
            number, own, echoed = answer_of(client, self.function, version)
            assert (own, echoed) == (version, 7)
            assert number == self.published.get(version, number)
        assert answer_of(client, self.function, "live")[1] == live["FunctionVersion"]


class Sender:
    """Events whose function's answers go to a queue."""

    def __init__(self, function):
        self.function = function
        self.sent, self.accepted, self.ended = 0, set(), set()

    def step(self, client, sqs):
        self.sent += 1
        number = self.sent
        client.invoke(
            FunctionName=self.function, InvocationType="Event", Payload=json.dumps(number)
        )
        self.accepted.add(number)
        time.sleep(0.01)

    def check(self, sqs, url, patience_s=240):
        deadline = time.monotonic() + patience_s
        while missing := self.accepted - self.ended:
            assert time.monotonic() < deadline, f"lost: {sorted(missing)[:20]}"
            answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            for message in answer.get("Messages", []):
                told = json.loads(message["Body"])
                assert told["requestContext"]["condition"] == "Success", told
                self.ended.add(told["requestPayload"])
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


class Reader:
    """Streams come whole, or tell that they do not."""

    def __init__(self, function):
        self.function = function

    def step(self, client, _):
        answer = client.invoke_with_response_stream(FunctionName=self.function)
        got, complete = b"", None
        for event in answer["EventStream"]:
            if "PayloadChunk" in event:
                got += event["PayloadChunk"]["Payload"]
            complete = event.get("InvokeComplete", complete)
        if complete is not None and "ErrorCode" not in complete:
            assert len(got) == 100_002


class Snapper:
    """Publishes versions with SnapStart and invokes them; the last few are kept."""

    def __init__(self, function):
        self.function = function
        self.number = 0
        self.made = []

    def step(self, client, _):
        until_active(client, self.function)
        self.number += 1
        code = python_package(ECHO.format(self.number) + "import time; time.sleep(0.2)\n")
        client.update_function_code(FunctionName=self.function, ZipFile=code)
        until_active(client, self.function)
        version = client.publish_version(FunctionName=self.function)["Version"]
        self.made.append(version)
        while len(self.made) > 3:
            client.delete_function(FunctionName=self.function, Qualifier=self.made.pop(0))
        answer_of(client, self.function, version)

    def check(self, client):
        for version in self.made:
            arn = f"{self.function}:{version}"
            until_active(client, arn, timeout_s=60)
            assert answer_of(client, self.function, version)[1:] == [version, 7]


def answer_of(client, function, qualifier, patience_s=60):
    """What it returns, once nothing stands in its way any more."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            answer = client.invoke(FunctionName=function, Qualifier=qualifier, Payload=b"7")
            if "FunctionError" not in answer:
                return payload_of(answer)
            failed = payload_of(answer)
        except ClientError as error:
            failed = error
        assert time.monotonic() < deadline, failed
        time.sleep(0.1)


def hit(platform, chance):
    """One fault: what it was."""
    kind = chance.choice(["server", "jailer", "keeper", "other", "other", "stop", "stop jailer"])
    if kind == "server":
        platform.restart()
        return kind
    processes = platform.processes()
    of = {"stop": "other", "stop jailer": "jailer"}.get(kind, kind)
    if not processes[of]:
        return f"no {of}"
    pid = chance.choice(processes[of])
    with contextlib.suppress(ProcessLookupError):
        if kind.startswith("stop"):
            os.kill(pid, signal.SIGSTOP)
            time.sleep(chance.uniform(0.1, 1.5))
            os.kill(pid, signal.SIGCONT)
        else:
            os.kill(pid, signal.SIGKILL)
    return f"{kind} {pid}"


@pytest.mark.timeout(0)
def test_faults_anywhere(new_server, name, runtime):  # noqa: F811
    print(f"LAMBENT_FAULT_SEED={SEED} LAMBENT_FAULT_ROUNDS={ROUNDS}")
    chance = random.Random(SEED)
    platform = Platform(new_server().start())
    client, sqs = platform.client(), platform.client("sqs")
    make = next(function_factory(client, name))
    publisher = Publisher(make(ECHO.format(0), FunctionName="published"))
    client.publish_version(FunctionName="published")
    client.create_alias(FunctionName="published", Name="live", FunctionVersion="1")
    sender = Sender(make(ECHO.format(0), FunctionName="sent"))
    sqs.create_queue(QueueName="told")
    queue = {"Destination": "arn:aws:sqs:us-east-1:000000000000:told"}
    client.put_function_event_invoke_config(
        FunctionName="sent",
        MaximumRetryAttempts=2,
        DestinationConfig={"OnSuccess": queue, "OnFailure": queue},
    )
    reader = Reader(make(STREAM, FunctionName="streamed"))
    snapper = Snapper(
        make(
            ECHO.format(0),
            FunctionName="snapped",
            Runtime=runtime,
            SnapStart=SNAP_START,
        )
    )
    make(ECHO.format(5), FunctionName="kept")
    client.publish_version(FunctionName="kept")
    client.put_provisioned_concurrency_config(
        FunctionName="kept", Qualifier="1", ProvisionedConcurrentExecutions=2
    )
    until_ready(client, "kept", "1", count=2)

    for number in range(ROUNDS):
        work = [Work(platform, one.step) for one in (publisher, sender, reader, snapper)]
        work.append(
            Work(platform, lambda client, _: client.invoke(FunctionName="kept", Qualifier="1"))
        )
        for one in work:
            one.start()
        done = []
        for _ in range(chance.randrange(1, 4)):
            time.sleep(chance.uniform(0.1, 1.5))
            done.append(hit(platform, chance))
        for one in work:
            one.finish()
        print(f"round {number}: {done}, {[one.done for one in work]}", flush=True)
        client, sqs = platform.client(), platform.client("sqs")
        publisher.check(client)
        url = sqs.get_queue_url(QueueName="told")["QueueUrl"]
        sender.check(sqs, url)
        snapper.check(client)
        until_ready(client, "kept", "1", count=2)
        assert answer_of(client, "kept", "1")[0] == 5
        platform.processes()

    for function in ("published", "sent", "streamed", "snapped", "kept"):
        client.delete_function(FunctionName=function)
    platform.processes()
    assert platform.server.stop() == 0
    assert not traces.left_behind(platform.seen, platform.server.data)
