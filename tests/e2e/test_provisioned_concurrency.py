"""Provisioned concurrency: environments that are initialised before anybody asks."""

import concurrent.futures
import json
import time

import pytest

from conftest import function_factory, until_active
from support import http, logs
from support.package import payload_of
from test_functions_api import refused

CODE = """import os, time
BEGUN = time.time()
def handler(event, context):
    time.sleep(event.get('s', 0))
    if event.get('exit'):
        os._exit(1)
    return {
        'how': os.environ['AWS_LAMBDA_INITIALIZATION_TYPE'],
        'begun': BEGUN,
        'stream': context.log_stream_name,
    }
"""


def until_ready(client, function, qualifier, count=None):
    for _ in range(3000):
        found = client.get_provisioned_concurrency_config(
            FunctionName=function, Qualifier=qualifier
        )
        if found["Status"] == "READY" and count in (
            None,
            found["AvailableProvisionedConcurrentExecutions"],
        ):
            return found
        time.sleep(0.01)
    raise AssertionError(found)


def until_gone(server, function, version):
    """Until a version has no environment any more."""
    for _ in range(3000):
        answer = http.request(server, "GET", f"{server.url}/_lambent/environments").json()
        held = [it for it in answer["environments"] if it["function"] == function]
        if version not in [it["version"] for it in held]:
            return
        time.sleep(0.01)
    raise AssertionError(held)


def put(client, function, qualifier, count):
    return client.put_provisioned_concurrency_config(
        FunctionName=function, Qualifier=qualifier, ProvisionedConcurrentExecutions=count
    )


def run(client, function, qualifier, **event):
    answer = client.invoke(
        FunctionName=function,
        Qualifier=qualifier,
        Payload=json.dumps(event).encode(),
        LogType="Tail",
    )
    return payload_of(answer), answer


@pytest.fixture
def published(client, make_function):
    function = make_function(CODE, Timeout=30)
    client.publish_version(FunctionName=function)
    return function


def test_are_ready_before_the_first_request(client, published):
    asked = put(client, published, "1", 2)
    assert asked["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert asked["Status"] == "IN_PROGRESS"
    ready = until_ready(client, published, "1")
    assert ready["AllocatedProvisionedConcurrentExecutions"] == 2
    before = time.time()
    ran, answer = run(client, published, "1")
    assert ran["how"] == "provisioned-concurrency"
    assert ran["begun"] < before
    assert logs.report(answer)["init"] is None
    # `$LATEST` has none, and what is more than there are runs on demand.
    assert run(client, published, "$LATEST")[0]["how"] == "on-demand"
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        ran = list(pool.map(lambda _: run(client, published, "1", s=3)[0]["how"], range(3)))
    assert sorted(ran) == ["on-demand", "provisioned-concurrency", "provisioned-concurrency"]


def test_are_replaced_when_they_end(client, published):
    put(client, published, "1", 1)
    until_ready(client, published, "1")
    first, _ = run(client, published, "1")
    _, died = run(client, published, "1", exit=True)
    assert died["FunctionError"] == "Unhandled"
    until_ready(client, published, "1", count=1)
    second, _ = run(client, published, "1")
    assert second["how"] == "provisioned-concurrency"
    assert second["stream"] != first["stream"]


def test_come_again_after_a_restart_and_follow_their_alias(new_server, name):
    server = new_server("--keep-alive", "1")
    server.start()
    client = server.client()
    function = next(function_factory(client, name))(CODE)
    client.publish_version(FunctionName=function)
    client.create_alias(FunctionName=function, Name="live", FunctionVersion="1")
    put(client, function, "live", 1)
    until_ready(client, function, "live")
    server.kill()
    server.start()
    client = server.client()
    until_ready(client, function, "live")
    first, _ = run(client, function, "live")
    assert first["how"] == "provisioned-concurrency"
    # One that is made on demand goes when nobody wants it, and this one does not.
    run(client, function, "$LATEST")
    until_gone(server, function, "$LATEST")
    assert run(client, function, "live")[0]["stream"] == first["stream"]
    client.update_function_configuration(FunctionName=function, MemorySize=256)
    until_active(client, function)
    client.publish_version(FunctionName=function)
    client.update_alias(FunctionName=function, Name="live", FunctionVersion="2")
    until_ready(client, function, "live")
    moved, answer = run(client, function, "live")
    assert (moved["how"], answer["ExecutedVersion"]) == ("provisioned-concurrency", "2")
    assert run(client, function, "1")[0]["how"] == "on-demand"


def test_that_cannot_be_initialised_say_so(client, make_function):
    function = make_function("raise Exception('no')\n")
    client.publish_version(FunctionName=function)
    put(client, function, "1", 1)
    for _ in range(3000):
        found = client.get_provisioned_concurrency_config(FunctionName=function, Qualifier="1")
        if found["Status"] == "FAILED":
            break
        time.sleep(0.01)
    assert found["StatusReason"] == "FUNCTION_ERROR_INIT_FAILURE"
    assert found["AllocatedProvisionedConcurrentExecutions"] == 0
    client.delete_provisioned_concurrency_config(FunctionName=function, Qualifier="1")
    got = refused(client.get_provisioned_concurrency_config, FunctionName=function, Qualifier="1")
    message = "No Provisioned Concurrency Config found for this function"
    assert got == ("ProvisionedConcurrencyConfigNotFoundException", message, 404)


def test_cost_what_they_are_kept_and_less_for_what_runs(server, client, published):
    put(client, published, "1", 1)
    until_ready(client, published, "1")
    run(client, published, "1", s=1)
    # The end of a function is the end of a bill.
    client.delete_function(FunctionName=published)
    usage = http.request(server, "GET", f"{server.url}/_lambent/usage").json()["usage"]
    (row,) = [row for row in usage if row["function"] == published]
    assert row["version"] == "1" and row["requests"] == 1
    assert row["provisioned_ms"] >= row["billed_ms"] > 1000
    kept, ran = (0.0000041667, 0.0000097222)
    if row["architecture"] == "arm64":
        kept, ran = (0.0000033334, 0.0000077778)
    assert row["cost_provisioned"] == pytest.approx(row["provisioned_gb_seconds"] * kept)
    assert row["cost_compute"] == pytest.approx(row["gb_seconds"] * ran)


def test_are_part_of_what_is_reserved(client, published):
    put(client, published, "1", 2)
    until_ready(client, published, "1")
    client.put_function_concurrency(FunctionName=published, ReservedConcurrentExecutions=2)
    with pytest.raises(client.exceptions.TooManyRequestsException):
        client.invoke(FunctionName=published)
    assert run(client, published, "1")[0]["how"] == "provisioned-concurrency"


def test_by_the_aws_command_line(server, client, published):
    arguments = ["--function-name", published, "--qualifier", "1", "--output", "json"]
    made = server.aws(
        "lambda",
        "put-provisioned-concurrency-config",
        "--provisioned-concurrent-executions",
        "1",
        *arguments,
    )
    assert made.returncode == 0, made.stderr
    until_ready(client, published, "1")
    listed = server.aws(
        "lambda", "list-provisioned-concurrency-configs", "--function-name", published
    )
    (config,) = json.loads(listed.stdout)["ProvisionedConcurrencyConfigs"]
    assert config["Status"] == "READY" and config["FunctionArn"].endswith(f":{published}:1")
    gone = server.aws("lambda", "delete-provisioned-concurrency-config", *arguments)
    assert gone.returncode == 0, gone.stderr
