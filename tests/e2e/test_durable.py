"""Durable functions, with AWS's own durable execution SDKs for Python and JavaScript in them."""

import json
import urllib.request

import pytest
from botocore.exceptions import ClientError

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
from support.package import payload_of


@pytest.fixture
def make_durable(make_function):
    """Creates durable functions in Python."""

    def make(code, **options):
        options = {"MemorySize": 512, "Timeout": 30, "DurableConfig": MINUTE} | options
        return make_function(zip_file=sdk.durable_python_package(code), **options)

    return make


def test_steps_are_done_once_and_a_wait_ends_the_invocation(client, make_durable):
    function = make_durable(ORDER)
    answer = run(client, function, {"n": 4})
    assert "FunctionError" not in answer, payload_of(answer)
    assert payload_of(answer) == {"first": 5, "second": 50}
    assert answer["ExecutedVersion"] == "$LATEST"
    arn = answer["DurableExecutionArn"]
    assert kinds(client, arn) == [
        "ExecutionStarted",
        "StepStarted",
        "StepSucceeded",
        "WaitStarted",
        "InvocationCompleted",
        "WaitSucceeded",
        "StepStarted",
        "StepSucceeded",
        "InvocationCompleted",
        "ExecutionSucceeded",
    ]


def test_a_name_starts_once(client, make_durable):
    function = make_durable(ORDER)
    name = f"order-{function[-20:]}"
    first = start(client, function, {"n": 1}, DurableExecutionName=name)
    assert f":function:{function}:$LATEST/durable-execution/{name}/" in first
    assert start(client, function, {"n": 1}, DurableExecutionName=name) == first
    with pytest.raises(client.exceptions.DurableExecutionAlreadyStartedException):
        start(client, function, {"n": 2}, DurableExecutionName=name)
    # Who waits for it gets what it comes to, while it runs and afterwards.
    for _ in range(2):
        answer = run(client, function, {"n": 1}, DurableExecutionName=name)
        assert payload_of(answer) == {"first": 2, "second": 20}
        assert answer["DurableExecutionArn"] == first
    assert kinds(client, first).count("ExecutionStarted") == 1


def test_what_an_execution_tells_of_itself(client, make_durable):
    function = make_durable(ORDER)
    arn = start(client, function, {"n": 1}, DurableExecutionName=f"told-{function[-20:]}")
    running = client.get_durable_execution(DurableExecutionArn=arn)
    assert running["DurableConfig"] == MINUTE
    assert running["Status"] == "RUNNING" and "EndTimestamp" not in running
    ended = until(client, arn, "SUCCEEDED")
    assert ended["FunctionArn"].endswith(f":function:{function}:$LATEST")
    assert ended["InputPayload"] == '{"n": 1}'
    assert json.loads(ended["Result"]) == {"first": 2, "second": 20}
    assert ended["EndTimestamp"] > ended["StartTimestamp"]
    bare = client.get_durable_execution(DurableExecutionArn=arn, IncludeExecutionData=False)
    assert "Result" not in bare and "InputPayload" not in bare
    events = history(client, arn, IncludeExecutionData=True)
    assert [event["EventId"] for event in events] == list(range(1, len(events) + 1))
    assert events[0]["ExecutionStartedDetails"]["Input"]["Payload"] == '{"n": 1}'
    assert events[0]["ExecutionStartedDetails"]["ExecutionTimeout"] == 60
    step = events[2]["StepSucceededDetails"]
    assert step["Result"]["Payload"] == "2" and step["RetryDetails"]["CurrentAttempt"] == 1
    backwards = history(client, arn, ReverseOrder=True, MaxItems=3)
    assert [event["EventId"] for event in backwards] == list(range(len(events), 0, -1))
    listed = client.list_durable_executions_by_function(FunctionName=function)
    (execution,) = listed["DurableExecutions"]
    assert execution["DurableExecutionArn"] == arn and execution["Status"] == "SUCCEEDED"


def test_executions_are_listed_in_pages_and_by_what_they_are(client, make_durable):
    function = make_durable(ORDER)
    arns = [start(client, function, {"n": n}, DurableExecutionName=f"e-{n}") for n in range(5)]
    for arn in arns:
        until(client, arn, "SUCCEEDED")

    def names(**options):
        pages = client.get_paginator("list_durable_executions_by_function").paginate(
            FunctionName=function, **options
        )
        return [one["DurableExecutionName"] for page in pages for one in page["DurableExecutions"]]

    assert names(MaxItems=2) == names() == [f"e-{n}" for n in range(5)]
    assert names(ReverseOrder=True, MaxItems=3) == [f"e-{n}" for n in reversed(range(5))]
    assert names(DurableExecutionName="e-3") == ["e-3"]
    assert names(Statuses=["RUNNING", "FAILED"]) == []
    assert len(names(Statuses=["SUCCEEDED"], Qualifier="$LATEST")) == 5
    third = client.get_durable_execution(DurableExecutionArn=arns[2])["StartTimestamp"]
    assert names(StartedAfter=third) == ["e-3", "e-4"]
    assert names(StartedBefore=third) == ["e-0", "e-1"]


def test_what_a_durable_function_is_not_asked_for(client, make_durable, make_function, invoke):
    function = make_durable(ORDER, DurableConfig={"ExecutionTimeout": 901})
    shown = client.get_function_configuration(FunctionName=function)
    assert shown["DurableConfig"] == {"ExecutionTimeout": 901, "RetentionPeriodInDays": 14}
    with pytest.raises(ClientError, match="using an unqualified ARN"):
        invoke(function, {"n": 1})
    with pytest.raises(ClientError, match="greater than 15 minutes"):
        run(client, function, {"n": 1})
    client.update_function_configuration(
        FunctionName=function, DurableConfig={"ExecutionTimeout": 900}
    )
    shown = client.get_function_configuration(FunctionName=function)
    assert shown["DurableConfig"] == {"ExecutionTimeout": 900, "RetentionPeriodInDays": 14}
    plain = make_function("def handler(event, context): return event", FunctionName=f"{function}-p")
    with pytest.raises(ClientError, match="only when a function is created"):
        client.update_function_configuration(FunctionName=plain, DurableConfig=MINUTE)
    with pytest.raises(ClientError, match="has no DurableConfig"):
        run(client, plain, DurableExecutionName="x")
    with pytest.raises(ClientError, match="has no DurableConfig"):
        start(client, plain, DurableExecutionName="x")
    with pytest.raises(ClientError, match="using an unqualified ARN"):
        client.invoke_async(FunctionName=function, InvokeArgs=b"{}")
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{function}:$LATEST"
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_durable_execution(DurableExecutionArn=f"{arn}/durable-execution/a/b")
    with pytest.raises(ClientError, match="Invalid checkpoint token"):
        client.checkpoint_durable_execution(
            DurableExecutionArn=f"{arn}/durable-execution/a/b", CheckpointToken="AAAA"
        )
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.send_durable_execution_callback_heartbeat(CallbackId="AAAA")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.list_durable_executions_by_function(FunctionName=f"{function}-none")


def test_an_execution_keeps_to_its_version(client, make_durable, update_code):
    """Also if the alias by which it was started moves on meanwhile."""
    answering = """
    from aws_durable_execution_sdk_python import durable_execution

    @durable_execution
    def handler(event, context):
        return [context.create_callback(name="approval").result(), "VERSION"]
    """
    function = make_durable(answering.replace("VERSION", "first"))
    first = client.publish_version(FunctionName=function)["Version"]
    client.create_alias(FunctionName=function, Name="live", FunctionVersion=first)
    payload = b"{}"
    started = client.invoke(
        FunctionName=function, Qualifier="live", InvocationType="Event", Payload=payload
    )
    arn = started["DurableExecutionArn"]
    assert f":function:{function}:{first}/durable-execution/" in arn
    assert started["ExecutedVersion"] == first
    callback = callback_of(client, arn)
    second_code = sdk.durable_python_package(answering.replace("VERSION", "second"))
    update_code(function, zip_file=second_code)
    second = client.publish_version(FunctionName=function)["Version"]
    client.update_alias(FunctionName=function, Name="live", FunctionVersion=second)
    client.send_durable_execution_callback_success(CallbackId=callback, Result=b"yes")
    ended = until(client, arn, "SUCCEEDED")
    assert json.loads(ended["Result"]) == ["yes", "first"] and ended["Version"] == first
    again = client.invoke(
        FunctionName=function, Qualifier="live", InvocationType="Event", Payload=payload
    )
    assert again["ExecutedVersion"] == second
    listed = client.list_durable_executions_by_function(FunctionName=function, Qualifier=first)
    assert [one["DurableExecutionArn"] for one in listed["DurableExecutions"]] == [arn]


def test_a_function_url_waits_for_the_execution(client, make_durable, server):
    function = make_durable(ORDER.replace('event["n"]', '3'))
    url_id = client.create_function_url_config(FunctionName=function, AuthType="NONE")
    url_id = url_id["FunctionUrl"].split("/")[2].split(".")[0]
    client.add_permission(
        FunctionName=function,
        StatementId="all",
        Action="lambda:InvokeFunctionUrl",
        Principal="*",
        FunctionUrlAuthType="NONE",
    )
    with urllib.request.urlopen(f"{server.url}/_lambent/url/{url_id}/") as answer:
        assert json.load(answer) == {"first": 4, "second": 40}
    with pytest.raises(ClientError, match="not supported by this platform yet"):
        client.invoke_with_response_stream(FunctionName=function, Qualifier="$LATEST")


RETRIES = """
from aws_durable_execution_sdk_python import durable_execution
from aws_durable_execution_sdk_python.config import Duration, StepConfig
from aws_durable_execution_sdk_python.retries import RetryStrategyConfig, create_retry_strategy

tried = []

def flaky(_):
    tried.append(1)
    if len(tried) < 3:
        raise ValueError(f"not yet {len(tried)}")
    return len(tried)

@durable_execution
def handler(event, context):
    retries = create_retry_strategy(
        RetryStrategyConfig(max_attempts=event["attempts"], initial_delay=Duration.from_seconds(1))
    )
    return context.step(flaky, name="flaky", config=StepConfig(retry_strategy=retries))
"""


def test_a_step_that_fails_is_tried_again_later(client, make_durable):
    function = make_durable(RETRIES)
    answer = run(client, function, {"attempts": 3})
    assert payload_of(answer) == 3
    events = history(client, answer["DurableExecutionArn"], IncludeExecutionData=True)
    failed = [event["StepFailedDetails"] for event in events if "StepFailedDetails" in event]
    assert [one["Error"]["Payload"]["ErrorMessage"] for one in failed] == ["not yet 1", "not yet 2"]
    assert [one["RetryDetails"]["CurrentAttempt"] for one in failed] == [1, 2]
    assert all(one["RetryDetails"]["NextAttemptDelaySeconds"] >= 1 for one in failed)


def test_a_step_that_fails_for_good_fails_the_execution(client, make_durable):
    function = make_durable(RETRIES)
    answer = run(client, function, {"attempts": 1})
    assert answer["FunctionError"] == "Unhandled"
    error = payload_of(answer)
    assert "not yet 1" in error["errorMessage"] and error["errorType"]
    ended = client.get_durable_execution(DurableExecutionArn=answer["DurableExecutionArn"])
    assert ended["Status"] == "FAILED"
    assert ended["Error"]["ErrorMessage"] == error["errorMessage"]
    assert kinds(client, answer["DurableExecutionArn"])[-1] == "ExecutionFailed"


def test_a_callback_is_answered_once(client, make_durable):
    function = make_durable(CALLBACK)
    arn = start(client, function)
    callback = callback_of(client, arn)
    client.send_durable_execution_callback_heartbeat(CallbackId=callback)
    client.send_durable_execution_callback_success(CallbackId=callback, Result=b'"granted"')
    ended = until(client, arn, "SUCCEEDED")
    assert json.loads(ended["Result"])["answer"] == '"granted"'
    for say in (
        lambda: client.send_durable_execution_callback_success(CallbackId=callback, Result=b"1"),
        lambda: client.send_durable_execution_callback_failure(CallbackId=callback, Error={}),
        lambda: client.send_durable_execution_callback_heartbeat(CallbackId=callback),
    ):
        with pytest.raises(client.exceptions.CallbackTimeoutException):
            say()


def test_a_callback_that_fails_or_does_not_come(client, make_durable):
    function = make_durable(CALLBACK)
    arn = start(client, function)
    error = {"ErrorType": "Refused", "ErrorMessage": "no"}
    client.send_durable_execution_callback_failure(
        CallbackId=callback_of(client, arn), Error=error
    )
    late, lonely = start(client, function, {"timeout": 1}), start(client, function, {"beat": 1})
    ended = json.loads(until(client, arn, "SUCCEEDED")["Result"])
    assert "no" in ended["error"] and ended["kind"] == "CallbackExternalError"
    for arn in (late, lonely):
        ended = json.loads(until(client, arn, "SUCCEEDED")["Result"])
        assert ended["kind"] == "CallbackTimeoutError", ended
        assert "CallbackTimedOut" in kinds(client, arn)
    events = history(client, lonely, IncludeExecutionData=True)
    (told,) = [one["CallbackTimedOutDetails"] for one in events if "CallbackTimedOutDetails" in one]
    assert told["Error"]["Payload"]["ErrorType"] == "Callback.Heartbeat"


def test_other_functions_are_invoked(client, make_durable, make_function):
    parent = make_durable(CHAIN)
    child = make_durable(ORDER, FunctionName=f"{parent}-child")
    failing = make_durable(RETRIES, FunctionName=f"{parent}-failing")
    code = """
    def handler(event, context):
        if "fail" in event:
            raise ValueError(event["fail"])
        return {"doubled": event["n"] * 2}
    """
    plain = make_function(code, FunctionName=f"{parent}-plain")

    def call(target, **event):
        answer = run(client, parent, {"target": target, "with": event})
        return payload_of(answer), answer["DurableExecutionArn"]

    assert call(plain, n=4)[0] == {"answer": {"doubled": 8}}
    answer, arn = call(f"{child}:$LATEST", n=2)
    assert answer == {"answer": {"first": 3, "second": 30}}
    (started,) = [
        event["ChainedInvokeStartedDetails"]
        for event in history(client, arn, IncludeExecutionData=True)
        if event["EventType"] == "ChainedInvokeStarted"
    ]
    assert started["FunctionName"] == f"{child}:$LATEST"
    assert json.loads(started["Input"]["Payload"]) == {"n": 2}
    of_child = client.get_durable_execution(DurableExecutionArn=started["DurableExecutionArn"])
    assert of_child["Status"] == "SUCCEEDED"
    assert "broken" in call(plain, fail="broken")[0]["error"]
    assert "Function not found" in call(f"{parent}-none", n=1)[0]["error"]
    assert "unqualified" in call(child, n=1)[0]["error"]
    failed = call(f"{failing}:$LATEST", attempts=1)[0]["error"]
    assert "not yet 1" in failed, "the child's own error"


MANY = """
from aws_durable_execution_sdk_python import durable_execution
from aws_durable_execution_sdk_python.config import Duration
from aws_durable_execution_sdk_python.waits import WaitForConditionConfig, WaitForConditionDecision

def square(context, item, index, items):
    context.wait(Duration.from_seconds(1 + index % 2), name=f"wait-{index}")
    return context.step(lambda _: item * item, name=f"square-{index}")

def branch(n):
    return lambda context: context.step(lambda _: n, name=f"branch-{n}")

def more(state, attempt):
    if state >= 3:
        return WaitForConditionDecision.stop_polling()
    return WaitForConditionDecision.continue_waiting(Duration.from_seconds(1))

@durable_execution
def handler(event, context):
    squares = context.map([1, 2, 3, 4], square, name="squares").get_results()
    both = context.parallel([branch(7), branch(8)], name="both").get_results()
    config = WaitForConditionConfig(wait_strategy=more, initial_state=0)
    polled = context.wait_for_condition(lambda state, _: state + 1, config, name="poll")
    large = context.run_in_child_context(lambda child: "x" * 300_000, name="large")
    context.wait(Duration.from_seconds(1))
    return {"squares": squares, "both": both, "polled": polled, "large": len(large)}
"""


def test_branches_conditions_and_large_contexts(client, make_durable):
    function = make_durable(MANY, MemorySize=1024)
    answer = run(client, function)
    assert payload_of(answer) == {
        "squares": [1, 4, 9, 16],
        "both": [7, 8],
        "polled": 3,
        "large": 300_000,
    }
    found = kinds(client, answer["DurableExecutionArn"])
    assert found.count("WaitSucceeded") == 5
    assert found.count("ContextStarted") == found.count("ContextSucceeded")


LARGE = """
from aws_durable_execution_sdk_python import durable_execution
from aws_durable_execution_sdk_python.config import Duration

@durable_execution
def handler(event, context):
    parts = [
        context.step(lambda _: "x" * 200_000, name=f"part-{n}") for n in range(event["parts"])
    ]
    context.wait(Duration.from_seconds(1))
    return sum(map(len, parts))
"""


def test_state_that_does_not_fit_in_an_event_is_fetched(client, make_durable):
    function = make_durable(LARGE, MemorySize=1024)
    answer = run(client, function, {"parts": 40})
    assert payload_of(answer) == 8_000_000


def test_a_result_too_large_for_a_step_fails_the_execution(client, make_durable):
    code = LARGE.replace("200_000", "300_000")
    answer = run(client, make_durable(code), {"parts": 1})
    assert answer["FunctionError"] == "Unhandled"
    assert "STEP output payload size" in payload_of(answer)["errorMessage"]


def test_an_execution_is_stopped(client, make_durable):
    function = make_durable(CALLBACK)
    arn = start(client, function)
    callback = callback_of(client, arn)
    error = {"ErrorType": "Operator", "ErrorMessage": "enough"}
    stopped = client.stop_durable_execution(DurableExecutionArn=arn, Error=error)
    again = client.stop_durable_execution(DurableExecutionArn=arn)
    assert stopped["StopTimestamp"] == again["StopTimestamp"]
    ended = until(client, arn, "STOPPED")
    assert ended["Error"] == error
    assert kinds(client, arn)[-1] == "ExecutionStopped"
    with pytest.raises(client.exceptions.CallbackTimeoutException):
        client.send_durable_execution_callback_success(CallbackId=callback)


def test_an_execution_runs_out_of_time(client, make_durable):
    function = make_durable(CALLBACK, DurableConfig={"ExecutionTimeout": 2})
    answer = run(client, function)
    assert answer["FunctionError"] == "Unhandled"
    assert payload_of(answer)["errorMessage"] == "Execution timed out after 2 seconds."
    arn = answer["DurableExecutionArn"]
    assert client.get_durable_execution(DurableExecutionArn=arn)["Status"] == "TIMED_OUT"


CRASHING = """
import os
from aws_durable_execution_sdk_python import durable_execution

@durable_execution
def handler(event, context):
    done_now = []
    context.step(lambda _: done_now.append(1), name="before")
    if done_now:
        os._exit(3)
    return "recovered"
"""


def test_an_invocation_that_dies_is_made_again(client, make_durable):
    function = make_durable(CRASHING)
    arn = start(client, function)
    ended = until(client, arn, "SUCCEEDED", "FAILED")
    found = kinds(client, arn)
    assert found.count("StepSucceeded") == 1, found
    assert ended["Status"] == "SUCCEEDED" and found.count("InvocationCompleted") == 2


def test_a_function_that_is_gone_fails_its_executions(client, make_durable):
    function = make_durable(CALLBACK)
    arn = start(client, function)
    callback = callback_of(client, arn)
    client.delete_function(FunctionName=function)
    client.send_durable_execution_callback_success(CallbackId=callback, Result=b"1")
    ended = until(client, arn, "FAILED")
    assert ended["Error"]["ErrorType"] == "ResourceNotFoundException"


# The same as in Python, and what Python's tests do in parts.
NODE_ORDER = """
import { withDurableExecution } from "@aws/durable-execution-sdk-js";

let tries = 0;

export const handler = withDurableExecution(async (event, context) => {
  const first = await context.step("first", async () => event.n + 1);
  await context.wait("pause", { seconds: 1 });
  const both = await context.parallel("both", [
    async (branch) => branch.step(async () => first * 10),
    async (branch) => {
      await branch.wait({ seconds: 1 });
      return branch.step(async () => first * 100);
    },
  ]);
  const retried = await context.step(
    "retried",
    async () => {
      if (event.retry && tries++ === 0) throw new Error("not yet");
      return "in the end";
    },
    { retryStrategy: (error, attempt) => ({ shouldRetry: attempt < 3, delay: { seconds: 1 } }) },
  );
  const polled = await context.waitForCondition("poll", async (state) => state + 1, {
    initialState: 0,
    waitStrategy: (state) =>
      state >= 2 ? { shouldContinue: false } : { shouldContinue: true, delay: { seconds: 1 } },
  });
  return { first, both: both.getResults(), retried, polled };
});
"""

NODE_OTHERS = """
import { withDurableExecution } from "@aws/durable-execution-sdk-js";

export const handler = withDurableExecution(async (event, context) => {
  const [promise, id] = await context.createCallback("approval", { timeout: { minutes: 1 } });
  const answer = await promise;
  const called = await context.invoke("call", event.target, { n: 3 });
  return { answer, called };
});
"""

NODE = "nodejs22.x"


@pytest.fixture
def make_node(make_function):
    def make(code, **options):
        options = {"MemorySize": 1024, "Timeout": 30, "DurableConfig": MINUTE} | options
        return make_function(zip_file=sdk.node_package(code), Runtime=NODE, **options)

    return make


@pytest.mark.parametrize("retry", [False, True])
def test_node_does_steps_waits_branches_and_conditions(client, make_node, retry):
    answer = run(client, make_node(NODE_ORDER), {"n": 1, "retry": retry})
    assert payload_of(answer) == {
        "first": 2,
        "both": [20, 200],
        "retried": "in the end",
        "polled": 2,
    }
    found = kinds(client, answer["DurableExecutionArn"])
    assert found.count("WaitSucceeded") == 2
    assert found.count("StepFailed") == (1 if retry else 0)


def test_node_waits_for_callbacks_and_invokes_others(client, make_node, make_function):
    function = make_node(NODE_OTHERS)
    code = "def handler(event, context): return event['n'] * 2"
    target = make_function(code, FunctionName=f"{function}-plain")
    arn = start(client, function, {"target": target})
    callback = callback_of(client, arn)
    client.send_durable_execution_callback_success(CallbackId=callback, Result=b"granted")
    ended = until(client, arn, "SUCCEEDED")
    assert json.loads(ended["Result"]) == {"answer": "granted", "called": 6}


def test_a_node_function_that_fails_fails_its_execution(client, make_node):
    code = """
    import { withDurableExecution } from "@aws/durable-execution-sdk-js";
    export const handler = withDurableExecution(async (event, context) => {
      await context.wait({ seconds: 1 });
      throw new TypeError("of no use");
    });
    """
    answer = run(client, make_node(code))
    assert answer["FunctionError"] == "Unhandled"
    assert payload_of(answer)["errorMessage"] == "of no use"
