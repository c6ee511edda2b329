"""Scaling: one request at a time in an environment, limits, updates, and rest between requests."""

import concurrent.futures
import json
import threading
import time

import pytest
from botocore.exceptions import ClientError

from conftest import function_factory, until_active
from support import traces
from support.bash import bash_runtime
from support.http import request
from support.package import CUSTOM, ECHO, custom_package, payload_of, python_package

SLEEPER = """
import time
def handler(event, context):
    time.sleep(event["s"])
    return context.log_stream_name
"""


def call(client, function, event):
    return payload_of(client.invoke(FunctionName=function, Payload=json.dumps(event).encode()))


def throttled(client, function) -> dict:
    with pytest.raises(client.exceptions.TooManyRequestsException) as raised:
        client.invoke(FunctionName=function, Payload=b"{}")
    return raised.value.response


class TestEnvironments:
    def test_requests_at_once_get_one_each(self, client, make_function):
        function = make_function(SLEEPER)
        call(client, function, {"s": 0})
        begun = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            streams = list(pool.map(lambda _: call(client, function, {"s": 1}), range(10)))
        took = time.monotonic() - begun
        assert len(set(streams)) == 10
        # One after the other they would take ten times as long.
        assert 1 <= took < 5

    def test_one_after_the_other_they_share_one(self, client, make_function):
        function = make_function(SLEEPER)
        assert len({call(client, function, {"s": 0}) for _ in range(10)}) == 1

    def test_a_burst_of_a_hundred(self, client, make_function):
        code = "import time\ndef handler(event, context):\n    time.sleep(0.2)\n    return event['n']\n"
        function = make_function(code)
        with concurrent.futures.ThreadPoolExecutor(100) as pool:
            answers = list(pool.map(lambda n: call(client, function, {"n": n}), range(100)))
        assert answers == list(range(100))

    def test_large_payloads_do_not_wait_for_each_other(self, client, make_function):
        """More of them at once than are read at once: each has an environment when all run."""
        code = """
            import time
            def handler(event, context):
                time.sleep(event["s"])
                return context.log_stream_name
            """
        function = make_function(code, Timeout=60)
        event = {"s": 10, "padding": "x" * 300_000}
        with concurrent.futures.ThreadPoolExecutor(40) as pool:
            streams = list(pool.map(lambda _: call(client, function, event), range(40)))
        assert len(set(streams)) == 40

    def test_between_requests_nothing_of_it_runs(self, client, make_function):
        """A thread that outlives its request stands still until the next one."""
        code = """
            import threading, time
            ticks = 0
            def tick():
                global ticks
                while True:
                    ticks += 1
                    time.sleep(0.01)
            threading.Thread(target=tick, daemon=True).start()
            def handler(event, context):
                return ticks
        """
        function = make_function(code)
        before = call(client, function, {})
        time.sleep(1)
        assert call(client, function, {}) - before < 30, "a running thread would have made a hundred"


class TestReserved:
    def test_none_at_all(self, client, make_function):
        function = make_function(ECHO)
        answer = client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
        assert answer["ReservedConcurrentExecutions"] == 0
        error = throttled(client, function)
        assert error["Error"]["Message"] == "Rate Exceeded."
        assert error["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
        assert error["Type"] == "User"
        assert error["ResponseMetadata"]["HTTPStatusCode"] == 429
        found = client.get_function_concurrency(FunctionName=function)
        assert found["ReservedConcurrentExecutions"] == 0
        found = client.get_function(FunctionName=function)
        assert found["Concurrency"] == {"ReservedConcurrentExecutions": 0}
        answer = client.delete_function_concurrency(FunctionName=function)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
        assert "ReservedConcurrentExecutions" not in client.get_function_concurrency(FunctionName=function)
        assert call(client, function, {"a": 1}) == {"a": 1}

    def test_one(self, client, make_function):
        """The second of two requests at once is refused; the first is not disturbed."""
        function = make_function(SLEEPER)
        client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=1)
        call(client, function, {"s": 0})
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            calls = [pool.submit(call, client, function, {"s": 1}) for _ in range(4)]
            outcomes = [item.exception() for item in calls]
        refused = [error for error in outcomes if error]
        assert len(refused) == 3
        for error in refused:
            assert isinstance(error, client.exceptions.TooManyRequestsException)
        call(client, function, {"s": 0})

    def test_is_given_back_after_failures(self, client, make_function):
        code = """
            import os, time
            def handler(event, context):
                if event.get("exit"):
                    os._exit(1)
                if event.get("hang"):
                    time.sleep(60)
                return "fine"
        """
        function = make_function(code, Timeout=1)
        client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=1)
        for event in ({"exit": True}, {"hang": True}, {"exit": True}):
            assert call(client, function, event)["errorType"]
            assert call(client, function, {}) == "fine"

    def test_leaves_a_hundred_for_the_others(self, client, make_function):
        function = make_function(ECHO)
        with pytest.raises(ClientError) as raised:
            client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=901)
        assert raised.value.response["Error"] == {
            "Code": "InvalidParameterValueException",
            "Message": "Specified ReservedConcurrentExecutions for function decreases account's "
            "UnreservedConcurrentExecution below its minimum value of [100].",
        }

    def test_only_on_functions(self, client, make_function):
        function = make_function(ECHO)
        arn = client.get_function_configuration(FunctionName=function)["FunctionArn"]
        with pytest.raises(ClientError) as raised:
            client.put_function_concurrency(
                FunctionName=arn + ":$LATEST", ReservedConcurrentExecutions=1
            )
        error = raised.value.response["Error"]
        assert error["Code"] == "InvalidParameterValueException"
        assert error["Message"].startswith("This operation is permitted on Lambda functions only.")


class TestAccount:
    def test_its_limit_is_shared_by_all_functions(self, new_server):
        server = new_server("--account-concurrency", "3").start()
        client = server.client()
        first, second = (next(function_factory(client, name))(SLEEPER) for name in ("one", "two"))
        settings = client.get_account_settings()["AccountLimit"]
        assert settings["ConcurrentExecutions"] == 3
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            running = [
                pool.submit(call, client, function, {"s": 2}) for function in (first, first, second)
            ]
            time.sleep(1)
            for function in (first, second):
                error = throttled(client, function)
                assert error["Error"]["Message"] == "Rate Exceeded."
                assert error["Reason"] == "ConcurrentInvocationLimitExceeded"
            for item in running:
                assert "[$LATEST]" in item.result()
        assert call(client, second, {"s": 0})


class TestScalingRate:
    def test_no_more_environments_are_started_than_it_allows(self, new_server):
        server = new_server("--scaling-rate", "1").start()
        client = server.client()
        first, second = (next(function_factory(client, name))(ECHO) for name in ("one", "two"))
        assert call(client, first, 1) == 1
        assert call(client, first, 2) == 2, "the environment that is there"
        error = self.refused_after_an_update(client, first)
        assert error["Error"]["Message"] == "Rate Exceeded."
        assert call(client, second, 3) == 3, "each function has a rate of its own"
        labels = f'account="000000000000",region="us-east-1",function="{first}"'
        metrics = request(server, "GET", f"{server.url}/_lambent/metrics").body.decode()
        assert f"lambent_function_throttles_total{{{labels}}} 1\n" in metrics
        assert f"lambent_function_concurrency{{{labels}}} 0\n" in metrics
        assert f"lambent_function_environments_started_total{{{labels}}} " in metrics

    def refused_after_an_update(self, client, function):
        """Every update needs another environment; one comes back each ten seconds."""
        for timeout in range(4, 14):
            client.update_function_configuration(FunctionName=function, Timeout=timeout)
            client.get_waiter("function_updated_v2").wait(FunctionName=function)
            try:
                client.invoke(FunctionName=function, Payload=b"{}")
            except client.exceptions.TooManyRequestsException as refused:
                return refused.response
        pytest.fail("ten environments were started")


def test_at_zero_nothing_of_a_function_runs(new_server):
    """After the keep-alive its environments end, and the next request starts one anew."""
    server = new_server("--keep-alive", "1").start()
    client = server.client()
    zip_file = custom_package(bash_runtime("outcome=response answer=$event"))
    function = next(function_factory(client, "resting"))(zip_file=zip_file, Runtime=CUSTOM)
    variable = f"AWS_LAMBDA_FUNCTION_NAME={function}"
    assert not traces.with_variable(variable), "it does not run before it is asked"
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda n: call(client, function, n), range(4))) == [0, 1, 2, 3]
    assert traces.with_variable(variable)
    deadline = time.monotonic() + 15
    while left := traces.with_variable(variable):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
    assert call(client, function, 5) == 5


class TestUpdates:
    def test_no_old_code_answers_a_later_request(self, client, make_function):
        """Under load: once an update is in force, each request that begins is answered by the new."""

        def version(n):
            return f"import time\ndef handler(event, context):\n    time.sleep(0.005)\n    return {n}\n"

        function = make_function(version(0))
        in_force, stop, wrong, seen = [0], threading.Event(), [], set()

        def load():
            while not stop.is_set():
                least = in_force[0]
                answer = call(client, function, {})
                seen.add(answer)
                if answer < least:
                    wrong.append((least, answer))

        threads = [threading.Thread(target=load) for _ in range(8)]
        for thread in threads:
            thread.start()
        try:
            for n in range(1, 6):
                client.update_function_code(FunctionName=function, ZipFile=python_package(version(n)))
                until_active(client, function)
                in_force[0] = n
                time.sleep(0.2)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert not wrong
        assert max(seen) == 5

    def test_no_old_configuration_answers_a_later_request(self, client, make_function):
        code = "import os\ndef handler(event, context):\n    return os.environ['VERSION']\n"
        function = make_function(code, Environment={"Variables": {"VERSION": "0"}})
        for n in range(1, 4):
            variables = {"Variables": {"VERSION": str(n)}}
            client.update_function_configuration(FunctionName=function, Environment=variables)
            until_active(client, function)
            assert call(client, function, {}) == str(n)

    def test_a_running_request_is_finished_by_the_old(self, client, make_function, update_code):
        code = "import time\ndef handler(event, context):\n    time.sleep(2)\n    return 'old'\n"
        function = make_function(code)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            running = pool.submit(call, client, function, {})
            time.sleep(0.5)
            update_code(function, "def handler(event, context):\n    return 'new'\n")
            assert call(client, function, {}) == "new"
            assert not running.done()
            assert running.result() == "old"

    def test_a_delete_during_a_request(self, client, make_function):
        function = make_function(SLEEPER)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            running = pool.submit(call, client, function, {"s": 1})
            time.sleep(0.5)
            client.delete_function(FunctionName=function)
            with pytest.raises(client.exceptions.ResourceNotFoundException):
                call(client, function, {"s": 0})
            assert "[$LATEST]" in running.result()


def test_a_deleted_functions_processes_end(server, client, make_function):
    before = traces.children(server.process.pid)
    function = make_function(ECHO)
    call(client, function, {})
    ours = traces.children(server.process.pid) - before
    assert ours
    client.delete_function(FunctionName=function)
    deadline = time.monotonic() + 10
    # Others may be kept ready for whoever comes next; those that ran this function's code may not.
    while time.monotonic() < deadline and traces.alive(ours) == ours:
        time.sleep(0.02)
    assert traces.alive(ours) != ours
