"""The bill: what each request cost, as its REPORT line says, and nothing for rest."""

import concurrent.futures
import json
import time

import pytest

from conftest import function_factory, until_active
from support import logs
from support.package import ECHO
from support.usage import usage

SLEEPER = "import time\ndef handler(event, context):\n    time.sleep(event['s'])\n"


def billed(client, function, event) -> int:
    payload = json.dumps(event).encode()
    answer = client.invoke(FunctionName=function, Payload=payload, LogType="Tail")
    return int(logs.report(answer)["billed"])


def test_is_the_sum_of_the_reports(server, client, make_function):
    function = make_function(SLEEPER, MemorySize=512)
    total = sum(billed(client, function, {"s": s}) for s in (0, 0.01, 0.05, 0.1))
    used = usage(server, function)
    assert used.requests == 4
    assert used.billed_ms == total
    assert used.gb_seconds == pytest.approx(total / 1000 * 512 / 1024, rel=1e-6)


def test_follows_the_price_table(server, client, make_function):
    """x86 in us-east-1: 0.20 USD per million requests, 0.0000166667 USD per GB-second; arm costs a
    fifth less."""
    function = make_function(SLEEPER, MemorySize=1024)
    billed(client, function, {"s": 0.2})
    (architecture,) = client.get_function_configuration(FunctionName=function)["Architectures"]
    per_second = 0.0000166667 if architecture == "x86_64" else 0.0000133334
    used = usage(server, function)
    assert used.cost == pytest.approx(0.0000002 + used.gb_seconds * per_second, rel=1e-3)


def test_failures_are_billed_and_refusals_are_not(server, client, make_function):
    code = "import os\ndef handler(event, context):\n    os._exit(1) if event.get('exit') else 1 / 0\n"
    function = make_function(code)
    client.invoke(FunctionName=function, Payload=b"{}")
    client.invoke(FunctionName=function, Payload=b'{"exit": true}')
    client.invoke(FunctionName=function, InvocationType="DryRun")
    client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    with pytest.raises(client.exceptions.TooManyRequestsException):
        client.invoke(FunctionName=function)
    assert usage(server, function).requests == 2


def test_a_timeout_is_billed_in_full(server, client, make_function):
    function = make_function(SLEEPER, Timeout=1)
    # The first request pays for its environment's init too.
    first = billed(client, function, {"s": 0})
    assert billed(client, function, {"s": 30}) == 1000
    assert usage(server, function).billed_ms == first + 1000


def test_the_first_request_pays_for_the_init(server, client, make_function):
    function = make_function("import time\ntime.sleep(0.2)\ndef handler(event, context):\n    pass\n")
    answer = client.invoke(FunctionName=function, LogType="Tail")
    report = logs.report(answer)
    assert float(report["init"]) >= 200
    whole = float(report["init"]) + float(report["duration"])
    assert whole <= int(report["billed"]) < whole + 2
    assert billed(client, function, {}) < 200


def test_rest_costs_nothing(server, client, make_function):
    function = make_function(SLEEPER)
    billed(client, function, {"s": 0})
    before = usage(server, function)
    time.sleep(1)
    assert usage(server, function) == before


def test_every_one_of_many_at_once_is_counted(server, client, make_function):
    function = make_function(ECHO)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        total = sum(pool.map(lambda _: billed(client, function, {}), range(200)))
    used = usage(server, function)
    assert (used.requests, used.billed_ms) == (200, total)


def test_survives_a_crash(new_server):
    """What a caller was answered is on the bill, even where the platform is killed right after."""
    server = new_server().start()
    client = server.client()
    factory = function_factory(client, "counted")
    function = next(factory)(ECHO)
    total = 0
    for _ in range(3):
        for _ in range(20):
            total += billed(client, function, {})
        server.kill()
        server.start()
        client = server.client()
        until_active(client, function)
    used = usage(server, function)
    assert (used.requests, used.billed_ms) == (60, total)
    assert server.stop() == 0
    server.start()
    assert usage(server, function).requests == 60


def test_is_shown_as_a_table_too(server, client, make_function):
    function = make_function(ECHO)
    billed(client, function, {})
    run = server.command_line("usage")
    assert run.returncode == 0, run.stderr
    assert function in run.stdout
