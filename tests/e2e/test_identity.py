"""STS: who calls, from outside and as a function."""

import json
import urllib.request

import pytest
from botocore.exceptions import ClientError

from conftest import ROLE, function_factory
from support import sdk
from support.package import payload_of
from support.server import ACCOUNT, credentials

OTHER_ACCOUNT = "111122223333"

ASK = """
import boto3

def handler(event, context):
    answer = boto3.client("sts", **event).get_caller_identity()
    return {name: answer[name] for name in ("Account", "Arn", "UserId")}
"""


def identity(client):
    answer = client.get_caller_identity()
    return {name: answer[name] for name in ("Account", "Arn", "UserId")}


def root_of(account):
    return {"Account": account, "Arn": f"arn:aws:iam::{account}:root", "UserId": account}


@pytest.mark.parametrize("key, account", [("test", ACCOUNT), (OTHER_ACCOUNT, OTHER_ACCOUNT)])
def test_outside_an_access_key_is_its_account(server, key, account):
    assert identity(server.client("sts", key=key)) == root_of(account)


def test_the_command_line_is_told_too(server):
    told = server.aws("sts", "get-caller-identity", "--output", "json")
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout) == root_of(ACCOUNT)


def test_a_presigned_request_is_a_proof_of_who_made_it(server):
    url = server.client("sts").generate_presigned_url("get_caller_identity", HttpMethod="GET")
    with urllib.request.urlopen(url, timeout=10) as answer:
        body = answer.read().decode()
    assert f"<Arn>arn:aws:iam::{ACCOUNT}:root</Arn>" in body
    assert 'xmlns="https://sts.amazonaws.com/doc/2011-06-15/"' in body


def test_a_function_is_its_role(make_function, invoke):
    function = make_function(zip_file=sdk.python_package(ASK), MemorySize=512, Timeout=60)
    told = payload_of(invoke(function))
    role = ROLE.rsplit("/", 1)[1]
    assert told["Account"] == ACCOUNT
    assert told["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{function}"
    role_id, session = told["UserId"].split(":")
    assert role_id.startswith("AROA") and session == function
    # In development it is that whatever it signs with.
    other = {"aws_access_key_id": OTHER_ACCOUNT, "aws_secret_access_key": "x"}
    assert payload_of(invoke(function, other)) == told


def test_with_credentials_a_signature_has_to_be_good(new_server, tmp_path):
    server = new_server(*credentials(tmp_path, "AKIAOPERATOR", "hunter2")).start()
    operator = {"key": "AKIAOPERATOR", "secret": "hunter2"}
    assert identity(server.client("sts", **operator)) == root_of(ACCOUNT)
    functions = function_factory(server.client(**operator), "who")
    function = next(functions)(zip_file=sdk.python_package(ASK), MemorySize=512, Timeout=60)
    answer = server.client(**operator).invoke(FunctionName=function)
    assert payload_of(answer)["Arn"].endswith(f":assumed-role/lambda/{function}")
    next(functions, None)
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        identity(server.client("sts", key="AKIAOPERATOR", secret="guessed"))
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        identity(server.client("sts", key="AKIANOBODY"))


def test_no_credentials_are_given_that_would_not_work(server):
    sts = server.client("sts")
    with pytest.raises(ClientError, match="NotImplemented.*AssumeRole"):
        sts.assume_role(RoleArn=ROLE, RoleSessionName="somebody")
    with pytest.raises(ClientError, match="NotImplemented.*GetSessionToken"):
        sts.get_session_token()
