"""CreateFunction and its kin, as boto3 sees them. What AWS answers here was recorded from AWS."""

import base64
import hashlib
import re
import threading
import urllib.request

import pytest
from botocore.exceptions import ClientError

from conftest import ROLE, until_active
from support.package import ECHO, PYTHON, python_package
from support.server import ACCOUNT, REGION

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def arn_of(function):
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}"


def refused(call, **arguments):
    """The error that a call answers with: code, message, status."""
    with pytest.raises(ClientError) as raised:
        call(**arguments)
    response = raised.value.response
    return (
        response["Error"]["Code"],
        response["Error"]["Message"],
        response["ResponseMetadata"]["HTTPStatusCode"],
    )


def create_arguments(name, **changes):
    return {
        "FunctionName": name,
        "Runtime": PYTHON,
        "Handler": "index.handler",
        "Role": ROLE,
        "Code": {"ZipFile": python_package(ECHO)},
    } | changes


class TestCreate:
    def test_answers_what_aws_answers(self, client, name, make_function):
        zip_file = python_package(ECHO)
        created = client.create_function(**create_arguments(name, Code={"ZipFile": zip_file}))
        try:
            assert created["ResponseMetadata"]["HTTPStatusCode"] == 201
            assert created["FunctionName"] == name
            assert created["FunctionArn"] == arn_of(name)
            assert created["CodeSize"] == len(zip_file)
            digest = hashlib.sha256(zip_file).digest()
            assert created["CodeSha256"] == base64.b64encode(digest).decode()
            assert created["State"] == "Pending"
            assert created["StateReason"] == "The function is being created."
            assert created["StateReasonCode"] == "Creating"
            assert "LastUpdateStatus" not in created
            assert created["Version"] == "$LATEST"
            assert created["MemorySize"] == 128
            assert created["Timeout"] == 3
            assert created["EphemeralStorage"] == {"Size": 512}
            assert created["PackageType"] == "Zip"
            assert created["Description"] == ""
            assert created["Architectures"] in (["x86_64"], ["arm64"])
            assert created["TracingConfig"] == {"Mode": "PassThrough"}
            assert created["SnapStart"] == {"ApplyOn": "None", "OptimizationStatus": "Off"}
            log_group = f"/aws/lambda/{name}"
            assert created["LoggingConfig"] == {"LogFormat": "Text", "LogGroup": log_group}
            assert UUID.fullmatch(created["RevisionId"])
            # The one time format of this API: milliseconds and a numeric zone.
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", created["LastModified"])
            assert "Environment" not in created
        finally:
            client.delete_function(FunctionName=name)

    def test_becomes_active(self, client, make_function):
        function = make_function(ECHO, Environment={"Variables": {"KEY": "b"}}, Description="text")
        answer = client.get_function(FunctionName=function)
        configuration = answer["Configuration"]
        assert configuration["State"] == "Active"
        assert configuration["LastUpdateStatus"] == "Successful"
        assert "StateReason" not in configuration
        assert configuration["Environment"] == {"Variables": {"KEY": "b"}}
        assert configuration["Description"] == "text"
        assert answer["Code"]["RepositoryType"] == "S3"
        assert "Concurrency" not in answer

    def test_the_code_can_be_had_again(self, client, make_function):
        zip_file = python_package(ECHO)
        function = make_function(zip_file=zip_file)
        location = client.get_function(FunctionName=function)["Code"]["Location"]
        with urllib.request.urlopen(location, timeout=30) as response:
            assert response.read() == zip_file

    def test_boto3s_waiters_see_it_become_ready(self, client, make_function):
        function = make_function(ECHO, ready=False)
        client.get_waiter("function_active_v2").wait(FunctionName=function)
        client.update_function_configuration(FunctionName=function, Timeout=5)
        client.get_waiter("function_updated_v2").wait(FunctionName=function)
        client.get_waiter("function_exists").wait(FunctionName=function)
        configuration = client.get_function_configuration(FunctionName=function)
        assert (configuration["State"], configuration["Timeout"]) == ("Active", 5)

    def test_can_be_invoked_at_once(self, client, make_function):
        """Callers that do not wait are many; AWS takes their first invocation too, later."""
        function = make_function(ECHO, ready=False)
        client.get_waiter("function_active_v2").wait(FunctionName=function)
        answer = client.invoke(FunctionName=function, Payload=b'{"a":1}')
        assert answer["Payload"].read() == b'{"a": 1}'

    def test_a_name_is_taken_once(self, client, make_function):
        function = make_function(ECHO)
        assert refused(client.create_function, **create_arguments(function)) == (
            "ResourceConflictException",
            f"Function already exist: {function}",
            409,
        )

    def test_two_creates_at_once_make_one_function(self, client, name):
        outcomes, barrier = [], threading.Barrier(8)

        def create():
            barrier.wait()
            try:
                client.create_function(**create_arguments(name))
                outcomes.append("created")
            except ClientError as error:
                outcomes.append(error.response["Error"]["Code"])

        threads = [threading.Thread(target=create) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["ResourceConflictException"] * 7 + ["created"]
        until_active(client, name)
        client.delete_function(FunctionName=name)

    def test_a_name_can_be_an_arn(self, client, name):
        client.create_function(**create_arguments(arn_of(name)))
        until_active(client, name)
        for form in (name, arn_of(name), f"{ACCOUNT}:function:{name}", f"function:{name}"):
            found = client.get_function_configuration(FunctionName=form)
            assert found["FunctionName"] == name
        qualified = client.get_function_configuration(FunctionName=f"{name}:$LATEST")
        assert qualified["FunctionArn"] == arn_of(name) + ":$LATEST"
        client.delete_function(FunctionName=arn_of(name))

    def test_publish_is_not_pretended(self, client, name):
        """Either a version is published, or the request says that it cannot be."""
        try:
            created = client.create_function(**create_arguments(name, Publish=True))
        except ClientError as error:
            assert "Publish" in error.response["Error"]["Message"]
        else:
            assert created["Version"] == "1"
            until_active(client, name)
            client.delete_function(FunctionName=name)


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                {"Role": "r1"},
                "1 validation error detected: Value 'r1' at 'role' failed to satisfy constraint: "
                "Member must satisfy regular expression pattern: "
                r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+",
            ),
            (
                {"MemorySize": 64},
                "1 validation error detected: Value '64' at 'memorySize' failed to satisfy "
                "constraint: Member must have value greater than or equal to 128",
            ),
            (
                {"Timeout": 0},
                "1 validation error detected: Value '0' at 'timeout' failed to satisfy constraint: "
                "Member must have value greater than or equal to 1",
            ),
            (
                {"Architectures": ["x86_64", "arm64"]},
                "1 validation error detected: Value '[x86_64, arm64]' at 'architectures' failed to "
                "satisfy constraint: Member must have length less than or equal to 1",
            ),
            (
                {"Architectures": ["X86_64"]},
                "1 validation error detected: Value '[X86_64]' at 'architectures' failed to satisfy "
                "constraint: Member must satisfy constraint: [Member must satisfy enum value set: "
                "[x86_64, arm64], Member must not be null]",
            ),
        ],
        ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
    )
    def test_a_constraint_of_the_model(self, raw_client, name, change, message):
        arguments = create_arguments(name, **change)
        assert refused(raw_client.create_function, **arguments) == (
            "ValidationException",
            message,
            400,
        )

    def test_several_constraints_at_once(self, raw_client, name):
        arguments = create_arguments(name, Role="r1", MemorySize=1)
        code, message, status = refused(raw_client.create_function, **arguments)
        assert (code, status) == ("ValidationException", 400)
        assert message.startswith("2 validation errors detected: ")
        assert "at 'role'" in message and "at 'memorySize'" in message

    def test_an_unknown_runtime(self, client, name):
        arguments = create_arguments(name, Runtime="python2.7x")
        code, message, status = refused(client.create_function, **arguments)
        assert (code, status) == ("InvalidParameterValueException", 400)
        assert message.startswith(
            "Value python2.7x at 'runtime' failed to satisfy constraint: "
            "Member must satisfy enum value set: ["
        )
        assert message.endswith("] or be a valid ARN")

    @pytest.mark.parametrize("missing", ["Runtime", "Handler"])
    def test_a_zip_needs_runtime_and_handler(self, client, name, missing):
        arguments = create_arguments(name)
        del arguments[missing]
        assert refused(client.create_function, **arguments) == (
            "InvalidParameterValueException",
            "Runtime and Handler are mandatory parameters for functions created with deployment "
            "packages.",
            400,
        )

    def test_no_role(self, raw_client, name):
        arguments = create_arguments(name)
        del arguments["Role"]
        code, message, status = refused(raw_client.create_function, **arguments)
        assert (code, status) == ("ValidationException", 400)
        assert message == (
            "1 validation error detected: Value null at 'role' failed to satisfy constraint: "
            "Member must not be null"
        )

    def test_more_environment_than_4_kb(self, client, name):
        variables = {"LARGE_VAR": "x" * 4096}
        arguments = create_arguments(name, Environment={"Variables": variables})
        code, message, status = refused(client.create_function, **arguments)
        assert (code, status) == ("InvalidParameterValueException", 400)
        assert message.startswith(
            "Lambda was unable to configure your environment variables because the environment "
            'variables you have provided exceeded the 4KB limit. String measured: {"LARGE_VAR":"xx'
        )

    def test_nearly_4_kb_of_environment_reach_the_function(self, client, make_function):
        code = "import os\ndef handler(event, context):\n    return len(os.environ['LARGE_VAR'])\n"
        variables = {"LARGE_VAR": "x" * 4000}
        function = make_function(code, Environment={"Variables": variables})
        assert client.invoke(FunctionName=function)["Payload"].read() == b"4000"

    @pytest.mark.parametrize("key", ["AWS_REGION", "AWS_LAMBDA_FUNCTION_NAME"])
    def test_reserved_variables(self, client, name, key):
        arguments = create_arguments(name, Environment={"Variables": {key: "x"}})
        code, message, status = refused(client.create_function, **arguments)
        assert (code, status) == ("InvalidParameterValueException", 400)
        assert "reserved keys" in message and message.endswith(key)

    @pytest.mark.parametrize(
        "operation",
        ["get_function", "get_function_configuration", "delete_function", "get_function_concurrency"],
    )
    def test_a_function_that_is_not_there(self, client, operation):
        assert refused(getattr(client, operation), FunctionName="nowhere") == (
            "ResourceNotFoundException",
            f"Function not found: {arn_of('nowhere')}",
            404,
        )

    @pytest.mark.parametrize("operation", ["get_function", "delete_function", "invoke"])
    def test_an_arn_of_another_region(self, client, operation):
        arn = f"arn:aws:lambda:eu-west-3:{ACCOUNT}:function:anything"
        assert refused(getattr(client, operation), FunctionName=arn) == (
            "ResourceNotFoundException",
            f"Functions from 'eu-west-3' are not reachable in this region ('{REGION}')",
            404,
        )

    def test_an_operation_that_is_not_built_says_so(self, client):
        code, message, status = refused(client.list_capacity_providers)
        assert status >= 400
        assert "ListCapacityProviders" in message + code

    @pytest.mark.parametrize(
        "service, signed_as, operation, arguments",
        [
            ("iam", "iam", "list_users", {}),
            ("stepfunctions", "states", "list_state_machines", {}),
            ("kinesis", "kinesis", "list_streams", {}),
            ("redshift", "redshift", "describe_clusters", {}),
            ("glacier", "glacier", "list_vaults", {}),
            ("apigateway", "apigateway", "get_rest_apis", {}),
        ],
    )
    def test_a_service_that_is_not_there_says_so(
        self, server, service, signed_as, operation, arguments
    ):
        # Each in the form that the service's own client can read.
        call = getattr(server.client(service), operation)
        code, message, status = refused(call, **arguments)
        assert (code, status) == ("NotImplemented", 501)
        assert message.startswith(f"Lambent does not serve {signed_as} yet; it serves lambda, sqs, ")


class TestUpdate:
    def test_configuration(self, client, make_function):
        function = make_function(ECHO)
        before = client.get_function_configuration(FunctionName=function)
        updated = client.update_function_configuration(
            FunctionName=function,
            Description="new",
            Timeout=20,
            MemorySize=256,
            Environment={"Variables": {"KEY": "1"}},
            EphemeralStorage={"Size": 1024},
        )
        assert updated["LastUpdateStatus"] == "InProgress"
        assert updated["LastUpdateStatusReason"] == "The function is being created."
        assert updated["LastUpdateStatusReasonCode"] == "Creating"
        assert updated["State"] == "Active"
        after = until_active(client, function)
        assert after["RevisionId"] != before["RevisionId"]
        assert after["CodeSha256"] == before["CodeSha256"]
        assert (after["Description"], after["Timeout"], after["MemorySize"]) == ("new", 20, 256)
        assert after["Environment"] == {"Variables": {"KEY": "1"}}
        assert after["EphemeralStorage"] == {"Size": 1024}
        assert after["Handler"] == "index.handler"

    def test_code(self, client, make_function, update_code):
        function = make_function("def handler(event, context):\n    return 'old'\n")
        before = client.get_function_configuration(FunctionName=function)
        assert client.invoke(FunctionName=function)["Payload"].read() == b'"old"'
        after = update_code(function, "def handler(event, context):\n    return 'new'\n")
        assert after["CodeSha256"] != before["CodeSha256"]
        assert client.invoke(FunctionName=function)["Payload"].read() == b'"new"'

    def test_a_dry_run_changes_nothing(self, client, make_function):
        function = make_function("def handler(event, context):\n    return 'old'\n")
        before = client.get_function_configuration(FunctionName=function)
        other = python_package("def handler(event, context):\n    return 'new'\n")
        client.update_function_code(FunctionName=function, ZipFile=other, DryRun=True)
        after = client.get_function_configuration(FunctionName=function)
        assert after["CodeSha256"] == before["CodeSha256"]
        assert client.invoke(FunctionName=function)["Payload"].read() == b'"old"'

    @pytest.mark.parametrize("operation", ["update_function_code", "update_function_configuration"])
    def test_a_stale_revision_is_refused(self, client, make_function, operation):
        function = make_function(ECHO)
        change = (
            {"ZipFile": python_package("x = 1")}
            if operation == "update_function_code"
            else {"Timeout": 7}
        )
        answer = refused(
            getattr(client, operation),
            FunctionName=function,
            RevisionId="11111111-2222-3333-4444-555555555555",
            **change,
        )
        assert answer == (
            "PreconditionFailedException",
            "The Revision Id provided does not match the latest Revision Id. Call the "
            "GetFunction/GetAlias API to retrieve the latest Revision Id",
            412,
        )

    def test_the_current_revision_is_taken(self, client, make_function):
        function = make_function(ECHO)
        revision = client.get_function_configuration(FunctionName=function)["RevisionId"]
        client.update_function_configuration(FunctionName=function, Timeout=7, RevisionId=revision)
        assert until_active(client, function)["Timeout"] == 7


class TestDelete:
    def test_is_gone(self, client, make_function):
        function = make_function(ECHO)
        answer = client.delete_function(FunctionName=function)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
        code, _, status = refused(client.get_function, FunctionName=function)
        assert (code, status) == ("ResourceNotFoundException", 404)
        code, _, _ = refused(client.invoke, FunctionName=function)
        assert code == "ResourceNotFoundException"

    def test_a_name_can_be_used_again(self, client, make_function):
        function = make_function("def handler(event, context):\n    return 'first'\n")
        assert client.invoke(FunctionName=function)["Payload"].read() == b'"first"'
        client.delete_function(FunctionName=function)
        make_function("def handler(event, context):\n    return 'second'\n", FunctionName=function)
        assert client.invoke(FunctionName=function)["Payload"].read() == b'"second"'


class TestList:
    def test_pages_through_all_once(self, server, make_function):
        # An account of its own: other tests' functions come and go.
        client = server.client(key="111122223333")
        names = [f"page-{number}" for number in range(7)]
        for function in names:
            client.create_function(**create_arguments(function))
        first = client.list_functions(MaxItems=3)
        assert len(first["Functions"]) == 3 and first["NextMarker"]
        pages = client.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 3})
        listed = [item["FunctionName"] for page in pages for item in page["Functions"]]
        assert sorted(listed) == names
        item = first["Functions"][0]
        assert item["Version"] == "$LATEST"
        assert "State" not in item, "ListFunctions leaves the states out"
        for function in names:
            client.delete_function(FunctionName=function)
        assert client.list_functions()["Functions"] == []

    def test_accounts_do_not_see_each_other(self, server, client, make_function):
        function = make_function(ECHO)
        other = server.client(key="444455556666")
        assert other.list_functions()["Functions"] == []
        code, message, _ = refused(other.get_function, FunctionName=function)
        assert code == "ResourceNotFoundException"
        assert ":444455556666:function:" in message

    def test_regions_do_not_see_each_other(self, server, client, make_function):
        function = make_function(ECHO)
        arn = client.get_function_configuration(FunctionName=function)["FunctionArn"]
        assert arn == arn_of(function)
        import boto3

        other = boto3.client(
            "lambda",
            endpoint_url=server.url,
            region_name="eu-central-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        assert other.list_functions()["Functions"] == []

    def test_an_invalid_version(self, raw_client):
        assert refused(raw_client.list_functions, FunctionVersion="invalid") == (
            "ValidationException",
            "1 validation error detected: Value 'invalid' at 'functionVersion' failed to satisfy "
            "constraint: Member must satisfy enum value set: [ALL]",
            400,
        )


class TestTags:
    def test_live_with_the_function(self, client, make_function):
        function = make_function(ECHO, Tags={"made": "here"})
        arn = arn_of(function)
        assert client.get_function(FunctionName=function)["Tags"] == {"made": "here"}
        answer = client.tag_resource(Resource=arn, Tags={"A": "1", "B": "2"})
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
        client.tag_resource(Resource=arn, Tags={"B": "3"})
        assert client.list_tags(Resource=arn)["Tags"] == {"made": "here", "A": "1", "B": "3"}
        answer = client.untag_resource(Resource=arn, TagKeys=["A", "not-there"])
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
        assert client.list_tags(Resource=arn)["Tags"] == {"made": "here", "B": "3"}
        client.untag_resource(Resource=arn, TagKeys=["made", "B"])
        assert client.list_tags(Resource=arn)["Tags"] == {}
        assert "Tags" not in client.get_function(FunctionName=function)

    def test_fifty_at_most(self, client, make_function):
        function = make_function(ECHO)
        arn = arn_of(function)
        assert refused(
            client.tag_resource, Resource=arn, Tags={str(n): "x" for n in range(51)}
        ) == ("InvalidParameterValueException", "Number of tags exceeds resource tag limit.", 400)
        client.tag_resource(Resource=arn, Tags={str(n): "x" for n in range(50)})
        assert len(client.list_tags(Resource=arn)["Tags"]) == 50

    def test_only_on_a_function_that_is_there(self, client):
        arn = arn_of("nowhere")
        expected = ("ResourceNotFoundException", f"Function not found: {arn}", 404)
        assert refused(client.tag_resource, Resource=arn, Tags={"A": "1"}) == expected
        assert refused(client.untag_resource, Resource=arn, TagKeys=["A"]) == expected
        assert refused(client.list_tags, Resource=arn) == expected

    def test_not_on_a_version(self, client, make_function):
        arn = arn_of(make_function(ECHO)) + ":$LATEST"
        assert refused(client.tag_resource, Resource=arn, Tags={"A": "1"}) == (
            "InvalidParameterValueException",
            "Tags on function aliases and versions are not supported. Please specify a function ARN.",
            400,
        )


def test_account_settings(server):
    client = server.client(key="777788889999")
    settings = client.get_account_settings()
    limit, usage = settings["AccountLimit"], settings["AccountUsage"]
    assert limit["ConcurrentExecutions"] == 1000
    assert limit["UnreservedConcurrentExecutions"] == 1000
    assert limit["CodeSizeZipped"] == 52_428_800
    assert limit["CodeSizeUnzipped"] == 262_144_000
    assert limit["TotalCodeSize"] == 80_530_636_800
    assert usage == {"TotalCodeSize": 0, "FunctionCount": 0}
    zip_file = python_package(ECHO)
    client.create_function(**create_arguments("counted", Code={"ZipFile": zip_file}))
    until_active(client, "counted")
    client.put_function_concurrency(FunctionName="counted", ReservedConcurrentExecutions=5)
    settings = client.get_account_settings()
    assert settings["AccountUsage"] == {"TotalCodeSize": len(zip_file), "FunctionCount": 1}
    assert settings["AccountLimit"]["UnreservedConcurrentExecutions"] == 995
    client.delete_function(FunctionName="counted")
    assert client.get_account_settings()["AccountUsage"] == {"TotalCodeSize": 0, "FunctionCount": 0}
