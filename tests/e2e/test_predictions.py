"""The functions of `examples/predictions`, with the real model."""

import os
import pathlib
import sys
import urllib.parse

import pytest

import conftest
from support.server import Server

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples" / "predictions"
sys.path.append(str(EXAMPLE))

import deploy  # noqa: E402
from stack import Stack, packages  # noqa: E402

# An environment without work ends after this.
KEEP_ALIVE_S = 2


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


def test_the_model_reads_inside_the_sandbox(platform, database, capsys):
    """The functions without what is around them."""
    stack = Stack("alone", endpoint=platform.url)
    sqs = stack.client("sqs")
    queue = deploy.queue(sqs, stack.dead)
    given = deploy.options().parse_args([])
    deploy.make_table(database)
    deploy.deploy_functions(stack, given, packages(), database, queue["url"], queue["arn"])
    deploy.check(stack, database)
    drawn, read = (line.split(": ")[1] for line in capsys.readouterr().out.splitlines()[-2:])
    assert "TOTAL 79.30" in drawn and "TOTAL79.30" in read.replace(" ", "")

    # A way to the table that is closed is told as what it is.
    functions = stack.client("lambda")
    arn = functions.get_function(FunctionName=stack.predict)["Configuration"]["FunctionArn"]
    functions.tag_resource(Resource=arn, Tags={"lambent:network": "off"})
    with pytest.raises(SystemExit, match="the function fails: .*\n.*--host-services 127.0.0.1:"):
        deploy.check(stack, "postgres://postgres@127.0.0.1:5432/postgres")
