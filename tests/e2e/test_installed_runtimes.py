"""`lambent runtimes`: what functions run on is listed, and brought from the package registries."""

import json
import subprocess

import pytest

from conftest import function_factory
from support.package import payload_of
from support.server import binary, environment

ABOUT = """
import datetime, ssl, sys, zoneinfo

def handler(event, context):
    try:
        import boto3
        sdk = boto3.__version__
    except ImportError:
        sdk = None
    winter = datetime.datetime(2024, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
    return {
        "version": "python%d.%d" % sys.version_info[:2],
        "sdk": sdk,
        "authorities": ssl.create_default_context().cert_store_stats()["x509_ca"] > 0,
        "offset": str(winter.utcoffset()),
    }
"""

NODE_ABOUT = """
import { SQSClient } from "@aws-sdk/client-sqs";
import { DynamoDBDocumentClient } from "@aws-sdk/lib-dynamodb";

export const handler = async () => ({
  major: process.versions.node.split(".")[0],
  program: process.execPath,
  sdk: typeof SQSClient + typeof DynamoDBDocumentClient,
});
"""


def runtimes(*arguments, data, succeeds=True):
    run = subprocess.run(
        [binary(), "runtimes", *arguments, "--data", str(data)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=500,
        env=environment(),
    )
    assert (run.returncode == 0) == succeeds, run.stdout + run.stderr
    return run.stdout if succeeds else run.stderr


def listed(data):
    found = json.loads(runtimes("list", "--json", data=data))["runtimes"]
    return {one["runtime"]: one for one in found}


@pytest.fixture
def pythons(tmp_path):
    """Two of this machine's own Pythons."""
    found = listed(tmp_path / "data")
    usable = [name for name in found if name.startswith("python") and found[name]["available"]]
    assert len(usable) >= 2, "the test wants two versions of Python on this machine"
    return usable[-2:]


def called(client, name, **options):
    function = next(function_factory(client, name))(MemorySize=512, Timeout=60, **options)
    return payload_of(client.invoke(FunctionName=function))


def test_two_pythons_run_side_by_side_and_find_what_was_installed(new_server, tmp_path, pythons):
    data = tmp_path / "data"
    first, second = pythons
    assert listed(data)[second]["sdk"] is None
    said = runtimes("install", second, data=data)
    assert said.startswith(f"{second}: ") and " with boto3 " in said
    sdk = listed(data)[second]["sdk"]
    assert sdk["name"] == "boto3" and sdk["version"] in said
    table = runtimes("list", data=data)
    assert f"boto3 {sdk['version']}" in table and "provided.al2023" in table

    client = new_server().start().client()
    about = {name: called(client, name.replace(".", "-"), code=ABOUT, Runtime=name) for name in pythons}
    everywhere = {"authorities": True, "offset": "1:00:00"}
    assert about == {
        first: {"version": first, "sdk": None} | everywhere,
        second: {"version": second, "sdk": sdk["version"]} | everywhere,
    }


def test_node_comes_from_a_registry_with_its_sdk(new_server, tmp_path):
    data = tmp_path / "data"
    runtimes("install", "nodejs22.x", "--interpreter", data=data)
    found = listed(data)["nodejs22.x"]
    assert found["source"] == "installed" and found["version"].startswith("22.")
    assert found["sdk"]["name"] == "@aws-sdk"

    server = new_server().start()
    files = {"index.mjs": NODE_ABOUT}
    about = called(server.client(), "node", files=files, Runtime="nodejs22.x")
    assert (about["major"], about["sdk"]) == ("22", "functionfunction")
    assert "runtimes/nodejs22.x/interpreter" in about["program"]


@pytest.mark.parametrize(
    "name, said",
    [
        ("provided.al2", "needs no interpreter"),
        ("java21", "no runtime that runs here"),
        ("../python3.13", "no runtime that runs here"),
    ],
)
def test_what_cannot_be_installed_is_said(tmp_path, name, said):
    assert said in runtimes("install", name, data=tmp_path / "data", succeeds=False)
