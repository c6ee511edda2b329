"""Durable executions over the end of the server, in good order and otherwise."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from conftest import function_factory
from support import sdk
from support.durable import (
    CALLBACK,
    CHAIN,
    MINUTE,
    ORDER,
    callback_of,
    history,
    kinds,
    run,
    start,
    until,
)

# Slow enough to be killed anywhere.
LONG = """
import time
from aws_durable_execution_sdk_python import durable_execution
from aws_durable_execution_sdk_python.config import Duration

def slowly(n):
    def step(_):
        print(f"did {n}")
        time.sleep(0.4)
        return n

    return step

@durable_execution
def handler(event, context):
    done = []
    for n in range(event["steps"]):
        done.append(context.step(slowly(n), name=f"step-{n}"))
        if n % 2:
            context.wait(Duration.from_seconds(1), name=f"wait-{n}")
    return done
"""


class World:
    """A server that is killed and started again over the same data."""

    def __init__(self, server, stem):
        self.server = server.start()
        self.functions = function_factory(self.client, stem)
        self.make = next(self.functions)

    @property
    def client(self):
        return self.server.client()

    def durable(self, code, **options):
        options = {"MemorySize": 512, "Timeout": 30, "DurableConfig": MINUTE} | options
        return self.make(zip_file=sdk.durable_python_package(code), **options)

    def crash(self):
        self.server.kill()
        self.server.start()

    def until_event(self, arn, kind):
        deadline = time.monotonic() + 30
        while kind not in kinds(self.client, arn):
            assert time.monotonic() < deadline, kinds(self.client, arn)
            time.sleep(0.02)


@pytest.fixture
def world(new_server, name):
    return World(new_server(), name)


def test_a_wait_outlasts_a_crash(world):
    function = world.durable(ORDER)
    arn = start(world.client, function, {"n": 1}, DurableExecutionName="once")
    world.until_event(arn, "WaitStarted")
    world.crash()
    assert start(world.client, function, {"n": 1}, DurableExecutionName="once") == arn
    ended = until(world.client, arn, "SUCCEEDED")
    assert json.loads(ended["Result"]) == {"first": 2, "second": 20}
    found = kinds(world.client, arn)
    assert found.count("StepSucceeded") == 2 and found.count("WaitSucceeded") == 1


def test_a_wait_that_was_over_while_nothing_ran_ends_at_once(world):
    function = world.durable(ORDER)
    arn = start(world.client, function, {"n": 1})
    world.until_event(arn, "WaitStarted")
    world.server.kill()
    time.sleep(1.2)
    world.server.start()
    until(world.client, arn, "SUCCEEDED")


def test_a_callback_outlasts_a_crash(world):
    arn = start(world.client, world.durable(CALLBACK))
    callback = callback_of(world.client, arn)
    world.crash()
    world.client.send_durable_execution_callback_success(CallbackId=callback, Result=b"yes")
    # The answer is stored; what it leads to comes after another crash too.
    world.crash()
    assert json.loads(until(world.client, arn, "SUCCEEDED")["Result"]) == {"answer": "yes"}


def test_a_chained_invoke_outlasts_a_crash(world):
    parent, child = world.durable(CHAIN), world.durable(LONG)
    plain = world.make(
        "import time\ndef handler(event, context):\n    time.sleep(1)\n    return 'slept'"
    )
    targets = [f"{child}:$LATEST", plain]
    arns = [
        start(world.client, parent, {"target": target, "with": {"steps": 3}}) for target in targets
    ]
    for arn in arns:
        world.until_event(arn, "ChainedInvokeStarted")
    world.crash()
    of_durable, of_plain = [until(world.client, arn, "SUCCEEDED")["Result"] for arn in arns]
    assert json.loads(of_durable) == {"answer": [0, 1, 2]}
    assert json.loads(of_plain) == {"answer": "slept"}


def test_crashes_anywhere_lose_nothing(world):
    function = world.durable(LONG)
    arn = start(world.client, function, {"steps": 6})
    for crash in range(5):
        time.sleep(0.3 + 0.37 * crash)
        world.crash()
    ended = until(world.client, arn, "SUCCEEDED")
    assert json.loads(ended["Result"]) == list(range(6))
    done = [
        event["Name"]
        for event in history(world.client, arn)
        if event["EventType"] == "StepSucceeded"
    ]
    assert done == [f"step-{n}" for n in range(6)]


def test_an_end_in_good_order_lets_go_of_who_waits(world):
    function = world.durable(CALLBACK)
    client = world.client
    arn = start(client, function, DurableExecutionName="held")
    callback = callback_of(client, arn)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(run, client, function, DurableExecutionName="held")
        time.sleep(0.2)
        assert world.server.stop() == 0
        with pytest.raises(ClientError, match="shutting down"):
            waiting.result()
    world.server.start()
    world.client.send_durable_execution_callback_success(CallbackId=callback, Result=b"yes")
    until(world.client, arn, "SUCCEEDED")
