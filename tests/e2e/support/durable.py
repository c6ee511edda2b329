"""Durable functions in Python, their executions, and what is told of those."""

import json
import time

MINUTE = {"ExecutionTimeout": 60, "RetentionPeriodInDays": 3}

# What each execution did, a line each, in the function's log.
ORDER = """
from aws_durable_execution_sdk_python import durable_execution
from aws_durable_execution_sdk_python.config import Duration

def did(what, answer):
    print("did", what)
    return answer

@durable_execution
def handler(event, context):
    first = context.step(lambda _: did("first", event["n"] + 1), name="first")
    context.wait(Duration.from_seconds(1), name="pause")
    second = context.step(lambda _: did("second", first * 10), name="second")
    return {"first": first, "second": second}
"""

CALLBACK = """
from aws_durable_execution_sdk_python import CallbackError, durable_execution
from aws_durable_execution_sdk_python.config import CallbackConfig, Duration

@durable_execution
def handler(event, context):
    seconds = Duration.from_seconds
    config = CallbackConfig(
        timeout=seconds(event.get("timeout", 0)), heartbeat_timeout=seconds(event.get("beat", 0))
    )
    callback = context.create_callback(name="approval", config=config)
    try:
        return {"answer": callback.result()}
    except CallbackError as error:
        return {"error": str(error), "kind": type(error).__name__}
"""

CHAIN = """
from aws_durable_execution_sdk_python import InvokeError, durable_execution

@durable_execution
def handler(event, context):
    try:
        return {"answer": context.invoke(event["target"], event["with"], name="call")}
    except InvokeError as error:
        return {"error": str(error)}
"""


def start(client, function, event=None, **options):
    """Starts an execution of `$LATEST` that nobody waits for, and gives its ARN."""
    payload = json.dumps({} if event is None else event)
    answer = client.invoke(
        FunctionName=function,
        Qualifier="$LATEST",
        InvocationType="Event",
        Payload=payload,
        **options,
    )
    assert answer["StatusCode"] == 202
    return answer["DurableExecutionArn"]


def run(client, function, event=None, **options):
    payload = json.dumps({} if event is None else event)
    return client.invoke(FunctionName=function, Qualifier="$LATEST", Payload=payload, **options)


def until(client, arn, *statuses, timeout_s=60):
    """The execution once it has one of the statuses."""
    deadline = time.monotonic() + timeout_s
    while True:
        execution = client.get_durable_execution(DurableExecutionArn=arn)
        if execution["Status"] in statuses:
            return execution
        assert execution["Status"] == "RUNNING", execution
        assert time.monotonic() < deadline, history(client, arn)
        time.sleep(0.02)


def history(client, arn, **options):
    pages = client.get_paginator("get_durable_execution_history").paginate(
        DurableExecutionArn=arn, **options
    )
    return [event for page in pages for event in page["Events"]]


def kinds(client, arn):
    return [event["EventType"] for event in history(client, arn)]


def callback_of(client, arn):
    """The id of an execution's callback, once it has one."""
    deadline = time.monotonic() + 30
    while True:
        for event in history(client, arn):
            if event["EventType"] == "CallbackStarted":
                return event["CallbackStartedDetails"]["CallbackId"]
        assert time.monotonic() < deadline
        time.sleep(0.02)
