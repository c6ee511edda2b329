"""The application in `examples/predictions`, as its README has it: deployed by its command, then
pictures in, predictions out, exactly one for each, whatever is killed meanwhile."""

import contextlib
import dataclasses
import difflib
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time
import urllib.parse

import pytest

import conftest
from support import traces
from support.server import Server

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "predictions"
sys.path.append(str(EXAMPLE))

import deploy  # noqa: E402
import run  # noqa: E402
from stack import Stack, packages  # noqa: E402

PICTURES = 24
# What is lost with a worker or the server comes again after this.
VISIBILITY_S = 12
# An environment without work ends after this.
KEEP_ALIVE_S = 2
PATIENCE_S = 60
SEED = int(os.environ.get("LAMBENT_FAULT_SEED", "5"))


@pytest.fixture(scope="module")
def database():
    """The URL of a database of our own."""
    packages()
    import table

    url = os.environ["LAMBENT_TEST_POSTGRES"]
    name = f"predictions_{os.getpid()}"
    connection = table.connect(url)
    connection.run(f"CREATE DATABASE {name}")
    yield urllib.parse.urlsplit(url)._replace(path=f"/{name}").geturl()
    connection.run(f"DROP DATABASE {name} WITH (FORCE)")
    connection.close()


@pytest.fixture(scope="module")
def platform(tmp_path_factory, database):
    """A server that opens the database to functions, if that is on this machine."""
    address = urllib.parse.urlsplit(deploy.inside(database))
    services = f"127.0.0.1:{address.port}" if address.hostname == deploy.HOST else ""
    server = Server(
        tmp_path_factory.mktemp("predictions") / "data",
        *("--keep-alive", str(KEEP_ALIVE_S), "--host-services", services),
    )
    conftest.watch(server)
    server.start()
    yield server
    assert server.stop() == 0


def script(server, name, *arguments):
    """Runs one of the example's commands as its README does."""
    ended = subprocess.run(
        [sys.executable, str(EXAMPLE / name), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        env=os.environ | {"AWS_ENDPOINT_URL": server.url, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def deployed(server, database, prefix):
    said = script(
        server,
        "deploy.py",
        *("--database", database, "--prefix", prefix, "--concurrency", "2"),
        *("--timeout", "10", "--visibility", str(VISIBILITY_S), "--batch", "4"),
    )
    assert "ready" in said
    stack = Stack(prefix, endpoint=server.url)
    # Each version of a result would be seen.
    stack.client("s3").put_bucket_versioning(
        Bucket=stack.results, VersioningConfiguration={"Status": "Enabled"}
    )
    return stack


def rows(database, stack):
    """{object: text} of what the table has of this stack."""
    import table

    connection = table.connect(database)
    found = connection.run(
        "SELECT object, text FROM predictions WHERE bucket = :bucket", bucket=stack.pictures
    )
    connection.close()
    assert len({name for name, _ in found}) == len(found)
    return dict(found)


def versions(stack):
    """The keys in the bucket with results, one for each version."""
    pages = stack.client("s3").get_paginator("list_object_versions")
    return [
        version["Key"]
        for page in pages.paginate(Bucket=stack.results)
        for version in page.get("Versions", [])
    ]


def assert_one_result_each(puts, stack, database):
    # A row comes after its object; and what was given out again has come back by then.
    until(lambda: run.waiting(stack.client("sqs"), stack.tasks) == 0)
    wanted = sorted(one.result_key for one in puts)
    assert sorted(versions(stack)) == wanted
    texts = rows(database, stack)
    assert sorted(texts) == wanted
    for one in puts:
        (result,) = one.results
        assert (result["key"], result["version"], result["member"]) == (
            *(one.key, one.version),
            one.member,
        )
        assert texts[one.result_key] == result["text"]


def assert_read(puts):
    """The model is a real one, so it may err: in a letter here and there."""
    for one in puts:
        (result,) = one.results
        expected, read = ("".join(text.split()) for text in ("".join(one.expected), result["text"]))
        assert difflib.SequenceMatcher(None, expected, read).ratio() > 0.9, (expected, read)
        assert all(0.5 <= line["confidence"] <= 1 for line in result["lines"])
        tops = [line["box"][1] for line in result["lines"]]
        assert len(tops) >= len(one.expected) and tops == sorted(tops)
    exact = [one for one in puts if one.is_right()]
    assert len(exact) > 0.8 * len(puts)


def until(what, patience_s=PATIENCE_S):
    deadline = time.monotonic() + patience_s
    while not (found := what()):
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.05)
    return found


def test_the_model_reads_inside_the_sandbox(platform, database, capsys):
    """The functions without what is around them."""
    stack = Stack("alone", endpoint=platform.url)
    sqs = stack.client("sqs")
    queue = deploy.queue(sqs, stack.dead)
    given = deploy.options().parse_args([])
    deploy.make_table(database)
    deploy.deploy_functions(stack, given, packages(), database, queue["url"])
    deploy.check(stack, database)
    drawn, read = (line.split(": ")[1] for line in capsys.readouterr().out.splitlines()[-2:])
    assert "TOTAL 79.30" in drawn and "TOTAL79.30" in read.replace(" ", "")

    # A way to the table that is closed is told as what it is.
    functions = stack.client("lambda")
    arn = functions.get_function(FunctionName=stack.predict)["Configuration"]["FunctionArn"]
    functions.tag_resource(Resource=arn, Tags={"lambent:network": "off"})
    with pytest.raises(SystemExit, match="the function fails: .*\n.*--host-services 127.0.0.1:"):
        deploy.check(stack, "postgres://postgres@127.0.0.1:5432/postgres")


def test_pictures_in_predictions_out_and_back_to_zero(platform, database):
    stack = deployed(platform, database, "read")
    drawn = run.drawing(range(PICTURES))
    puts = run.put(stack, drawn[: PICTURES // 2], "alone")
    # Not a picture, though its name says so: it has a result that says so.
    puts += run.put(stack, [type(drawn[0])("broken.png", b"not a picture", [])], "broken")
    puts += run.put(stack, drawn[PICTURES // 2 :], "together", archives=8)
    run.Done(stack, puts).until_all()
    assert_one_result_each(puts, stack, database)
    broken = next(one for one in puts if one.key == "broken/broken.png")
    assert broken.results[0]["error"] and not broken.results[0]["lines"]
    assert_read([one for one in puts if one is not broken])

    bill = stack.bill()
    assert bill[stack.predict]["requests"] >= PICTURES / 4 and bill[stack.predict]["cost"] > 0
    assert run.waiting(stack.client("sqs"), stack.dead) == 0
    until(lambda: not stack.environments())

    # The same name with another picture is another version, with a result of its own.
    replaced = run.put(stack, [dataclasses.replace(drawn[5], name=drawn[0].name)], "alone")
    run.Done(stack, replaced).until_all()
    assert replaced[0].key == puts[0].key and replaced[0].version != puts[0].version
    assert_one_result_each(puts + replaced, stack, database)


def test_the_commands_of_the_readme(platform, database):
    arguments = ("--database", database, "--prefix", "shown")
    first = script(platform, "deploy.py", *arguments)
    assert "TOTAL" in first
    again = script(platform, "deploy.py", *arguments)
    assert "ready" in again
    said = script(platform, "run.py", "10", "--prefix", "shown", "--archives", "5")
    assert re.search(r"pictures +10, of which (8|9|10) were read", said), said
    assert re.search(r"predict: \d+ requests, [\d.]+ GB-seconds, \$0\.\d+", said), said
    script(platform, "deploy.py", *arguments, "--remove")
    stack = Stack("shown", endpoint=platform.url)
    names = [one["Name"] for one in stack.client("s3").list_buckets()["Buckets"]]
    names += [one["FunctionName"] for one in stack.client("lambda").list_functions()["Functions"]]
    names += stack.client("sqs").list_queues().get("QueueUrls", [])
    assert not [name for name in names if "shown" in name]


@pytest.mark.timeout(240)
def test_one_result_each_whatever_is_killed(platform, database):
    stack = deployed(platform, database, "killed")
    chance = random.Random(SEED)
    puts = run.put(stack, run.drawing(range(100, 100 + PICTURES)), "pictures")
    seen, killed = set(), []
    for number, victim in enumerate(("workers", "server", "workers", "server")):
        # Each time somebody is at work, and more has been done.
        until(lambda: len(versions(stack)) >= 4 * number)
        until(lambda: at_work(stack) or len(versions(stack)) == len(puts))
        if len(versions(stack)) == len(puts):
            break
        time.sleep(chance.uniform(0, 0.2))
        seen |= traces.children(platform.process.pid)
        if victim == "server":
            platform.kill()
            assert not traces.left_behind(seen, platform.data, within_s=15)
            platform.start(listen=f"127.0.0.1:{platform.port}")
        else:
            for pid in workers(platform):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        killed.append(victim)
    assert set(killed) == {"workers", "server"}
    run.Done(stack, puts).until_all()
    assert_read(puts)
    assert_one_result_each(puts, stack, database)
    assert run.waiting(stack.client("sqs"), stack.dead) == 0
    assert any(one.results[0]["tries"] > 1 for one in puts), "nothing was lost on the way"


def at_work(stack):
    return [one for one in stack.environments() if one["state"] == "busy"]


def workers(server):
    """The processes with the model in their memory, if we may look, or all but the jailer's."""
    found = []
    for pid, _ in traces.children(server.process.pid):
        with contextlib.suppress(OSError):
            if "libonnxruntime" in pathlib.Path(f"/proc/{pid}/maps").read_text():
                found.append(pid)
    return found
