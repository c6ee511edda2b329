"""What an owner lays down for functions: whose code they run, and on which version of a runtime."""

import pytest
from botocore.exceptions import ClientError

from conftest import until_active
from support.package import ECHO, package, payload_of

PROFILE = "arn:aws:signer:us-east-1:000000000000:/signing-profiles/release/abcdefgh12"


@pytest.fixture
def signing(client):
    """Makes a code signing configuration; gives its ARN."""
    made = []

    def make(policy):
        config = client.create_code_signing_config(
            AllowedPublishers={"SigningProfileVersionArns": [PROFILE]},
            CodeSigningPolicies={"UntrustedArtifactOnDeployment": policy},
        )["CodeSigningConfig"]
        made.append(config["CodeSigningConfigArn"])
        return made[-1]

    yield make
    for arn in made:
        for function in client.list_functions_by_code_signing_config(CodeSigningConfigArn=arn)[
            "FunctionArns"
        ]:
            client.delete_function_code_signing_config(FunctionName=function)
        client.delete_code_signing_config(CodeSigningConfigArn=arn)


def test_unsigned_code_is_refused_where_signatures_are_enforced(
    client, invoke, make_function, signing
):
    enforced = signing("Enforce")
    with pytest.raises(ClientError) as error:
        make_function(ECHO, CodeSigningConfigArn=enforced)
    assert error.value.response["Error"]["Code"] == "CodeVerificationFailedException"
    function = make_function(ECHO)
    client.put_function_code_signing_config(
        FunctionName=function, CodeSigningConfigArn=enforced
    )
    shown = client.get_function_code_signing_config(FunctionName=function)
    assert shown["CodeSigningConfigArn"] == enforced
    with pytest.raises(client.exceptions.CodeVerificationFailedException):
        client.update_function_code(FunctionName=function, ZipFile=package({"index.py": "x = 1"}))
    assert payload_of(invoke(function, 1)) == 1
    client.update_code_signing_config(
        CodeSigningConfigArn=enforced,
        CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Warn"},
    )
    client.update_function_code(FunctionName=function, ZipFile=package({"index.py": ECHO}))
    until_active(client, function)


def test_configurations_are_listed_page_by_page(client, signing):
    made = {signing("Warn") for _ in range(3)}
    pages = client.get_paginator("list_code_signing_configs").paginate(
        PaginationConfig={"PageSize": 1}
    )
    listed = [found for page in pages for found in page["CodeSigningConfigs"]]
    assert made <= {found["CodeSigningConfigArn"] for found in listed}
    one = client.get_code_signing_config(CodeSigningConfigArn=min(made))["CodeSigningConfig"]
    assert one["AllowedPublishers"]["SigningProfileVersionArns"] == [PROFILE]


def test_a_runtime_is_pinned_to_the_version_that_is_here(client, invoke, make_function):
    function = make_function(ECHO)
    shown = client.get_function_configuration(FunctionName=function)["RuntimeVersionConfig"]
    version = shown["RuntimeVersionArn"]
    client.put_runtime_management_config(
        FunctionName=function, UpdateRuntimeOn="Manual", RuntimeVersionArn=version
    )
    found = client.get_runtime_management_config(FunctionName=function)
    assert (found["UpdateRuntimeOn"], found["RuntimeVersionArn"]) == ("Manual", version)
    client.update_function_configuration(FunctionName=function, Timeout=5)
    until_active(client, function)
    assert payload_of(invoke(function, 1)) == 1
    with pytest.raises(ClientError) as error:
        client.put_runtime_management_config(
            FunctionName=function, UpdateRuntimeOn="Manual", RuntimeVersionArn=version[:-4] + "0000"
        )
    assert error.value.response["Error"]["Code"] == "InvalidParameterValueException"
