"""Versions and aliases: what is published stays, and an alias is a name for it."""

import json
import re
import time
import urllib.request

import pytest

from conftest import function_factory, until_active
from support import http, logs
from support.package import payload_of, python_package
from support.queues import arn
from support.server import ACCOUNT, REGION
from support.usage import usage
from test_functions_api import refused

WHO = """import os
def handler(event, context):
    return {
        'code': %r,
        'word': os.environ.get('WORD'),
        'version': context.function_version,
        'variable': os.environ['AWS_LAMBDA_FUNCTION_VERSION'],
        'arn': context.invoked_function_arn,
        'stream': context.log_stream_name,
    }
"""


def who(word):
    return python_package(WHO % word)


def arn_of(function, qualifier):
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}:{qualifier}"


def code(client, function, word, **options):
    answer = client.update_function_code(FunctionName=function, ZipFile=who(word), **options)
    until_active(client, function)
    return answer


def word_of(client, function, word):
    client.update_function_configuration(
        FunctionName=function, Environment={"Variables": {"WORD": word}}
    )
    until_active(client, function)


@pytest.fixture
def versions(client, make_function):
    """A function with two versions, whose code and variables differ, and another `$LATEST`."""
    function = make_function(zip_file=who("one"), Environment={"Variables": {"WORD": "a"}})
    assert client.publish_version(FunctionName=function)["Version"] == "1"
    word_of(client, function, "b")
    assert code(client, function, "two", Publish=True)["Version"] == "2"
    code(client, function, "three")
    return function


EXPECTED = {"1": ("one", "a"), "2": ("two", "b"), "$LATEST": ("three", "b")}


def check(client, function, qualifier, version=None):
    version = version or qualifier
    answer = client.invoke(FunctionName=function, Qualifier=qualifier, LogType="Tail")
    assert answer["ExecutedVersion"] == version
    ran = payload_of(answer)
    assert (ran["code"], ran["word"]) == EXPECTED[version]
    assert ran["version"] == ran["variable"] == version
    assert ran["arn"] == arn_of(function, qualifier)
    assert re.fullmatch(rf"\d{{4}}/\d\d/\d\d/\[{re.escape(version)}\][0-9a-f]{{32}}", ran["stream"])
    assert f" Version: {version}\n" in logs.tail(answer)
    return ran


class TestVersions:
    def test_run_the_code_and_configuration_that_was_published(self, client, versions):
        for version in EXPECTED:
            check(client, versions, version)
        # Environments are of one version, and an update of the function is nothing to the others.
        before = check(client, versions, "1")["stream"]
        word_of(client, versions, "c")
        assert check(client, versions, "1")["stream"] == before

    def test_survive_a_crash(self, new_server, name):
        server = new_server()
        server.start()
        client = server.client()
        make = function_factory(client, name)
        function = next(make)(zip_file=who("one"), Environment={"Variables": {"WORD": "a"}})
        client.publish_version(FunctionName=function)
        client.create_alias(FunctionName=function, Name="live", FunctionVersion="1")
        word_of(client, function, "b")
        code(client, function, "two", Publish=True)
        code(client, function, "three")
        server.kill()
        server.start()
        client = server.client()
        for version in EXPECTED:
            check(client, function, version)
        check(client, function, "live", "1")
        listed = client.list_versions_by_function(FunctionName=function)["Versions"]
        assert [version["Version"] for version in listed] == ["$LATEST", "1", "2"]
        client.delete_function(FunctionName=function, Qualifier="2")
        server.kill()
        server.start()
        client = server.client()
        word_of(client, function, "d")
        assert client.publish_version(FunctionName=function)["Version"] == "3"

    def test_are_shown_as_aws_shows_them(self, client, versions):
        paginator = client.get_paginator("list_versions_by_function")
        pages = paginator.paginate(FunctionName=versions, PaginationConfig={"PageSize": 1})
        listed = [version for page in pages for version in page["Versions"]]
        assert [version["FunctionArn"] for version in listed] == [
            arn_of(versions, version) for version in ("$LATEST", "1", "2")
        ]
        for version in listed[1:]:
            shown = client.get_function(FunctionName=version["FunctionArn"])["Configuration"]
            assert shown["State"] == "Active" and shown["LastUpdateStatus"] == "Successful"
            assert {key: shown[key] for key in version} == version
        location = client.get_function(FunctionName=versions, Qualifier="1")["Code"]["Location"]
        with urllib.request.urlopen(location) as answer:
            assert answer.read() == who("one")
        client.get_waiter("published_version_active").wait(FunctionName=versions, Qualifier="2")
        gone = client.exceptions.ResourceNotFoundException
        with pytest.raises(gone, match="Function not found: .*:9"):
            client.get_function(FunctionName=versions, Qualifier="9")

    def test_cannot_be_changed(self, client, versions):
        only = (
            "This operation is permitted on Lambda functions only. Aliases and versions do not "
            "support this operation. Please specify either a function name or an unqualified "
            "function ARN."
        )
        for call, arguments in [
            (client.update_function_code, {"ZipFile": who("x")}),
            (client.update_function_configuration, {"Timeout": 5}),
            (client.put_function_concurrency, {"ReservedConcurrentExecutions": 1}),
        ]:
            got = refused(call, FunctionName=arn_of(versions, "1"), **arguments)
            assert got == ("InvalidParameterValueException", only, 400)
        tags = refused(client.list_tags, Resource=arn_of(versions, "1"))
        assert tags[0] == "InvalidParameterValueException"

    def test_are_metered_by_version(self, server, client, versions):
        for version, times in (("1", 3), ("2", 2)):
            for _ in range(times):
                check(client, versions, version)
        assert usage(server, versions).requests == 5

    def test_share_the_functions_concurrency(self, client, make_function):
        code = (
            "import time\n"
            "def handler(event, context):\n"
            "    time.sleep(event.get('s', 0))\n"
        )
        function = make_function(code, Timeout=60)
        client.publish_version(FunctionName=function)
        client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
        for qualifier in ("1", "$LATEST"):
            with pytest.raises(client.exceptions.TooManyRequestsException):
                client.invoke(FunctionName=function, Qualifier=qualifier)
        client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=1)
        client.invoke(FunctionName=function, Qualifier="1")

    def test_of_the_same_are_one(self, client, make_function):
        function = make_function(zip_file=who("one"))
        first = client.publish_version(FunctionName=function)
        again = client.publish_version(FunctionName=function, Description="no change of it")
        assert again["Version"] == "1" and again["RevisionId"] == first["RevisionId"]
        code(client, function, "one")
        assert client.publish_version(FunctionName=function)["Version"] == "1"


class TestAliases:
    def test_are_changed_between_two_requests(self, client, versions):
        made = client.create_alias(FunctionName=versions, Name="live", FunctionVersion="1")
        assert made["AliasArn"] == arn_of(versions, "live")
        check(client, versions, "live", "1")
        client.update_alias(FunctionName=versions, Name="live", FunctionVersion="2")
        check(client, versions, "live", "2")
        client.update_alias(FunctionName=versions, Name="live", FunctionVersion="$LATEST")
        check(client, versions, "live", "$LATEST")
        client.delete_alias(FunctionName=versions, Name="live")
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            client.invoke(FunctionName=versions, Qualifier="live")

    def test_divide_requests_by_weight(self, client, versions):
        client.create_alias(
            FunctionName=versions,
            Name="canary",
            FunctionVersion="1",
            RoutingConfig={"AdditionalVersionWeights": {"2": 0.3}},
        )
        ran = [
            client.invoke(FunctionName=versions, Qualifier="canary")["ExecutedVersion"]
            for _ in range(400)
        ]
        assert set(ran) == {"1", "2"}
        # Six standard deviations around 120: wrong once in half a thousand million runs.
        assert 65 <= ran.count("2") <= 175

    def test_keep_the_versions_that_they_name(self, client, versions):
        client.create_alias(FunctionName=versions, Name="live", FunctionVersion="1")
        got = refused(client.delete_function, FunctionName=versions, Qualifier="1")
        message = "Unable to delete version because the following aliases reference it: [live]"
        assert got == ("ResourceConflictException", message, 409)
        client.delete_alias(FunctionName=versions, Name="live")
        client.delete_function(FunctionName=versions, Qualifier="1")
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            client.invoke(FunctionName=versions, Qualifier="1")
        check(client, versions, "2")

    def test_have_urls_and_policies_of_their_own(self, server, client, versions):
        client.create_alias(FunctionName=versions, Name="live", FunctionVersion="1")
        url = client.create_function_url_config(
            FunctionName=versions, Qualifier="live", AuthType="NONE"
        )["FunctionUrl"]
        assert http.request(server, "GET", url).status == 403
        client.add_permission(
            FunctionName=versions,
            Qualifier="live",
            StatementId="all",
            Action="lambda:InvokeFunctionUrl",
            Principal="*",
            FunctionUrlAuthType="NONE",
        )
        answer = http.request(server, "GET", url).json()
        assert (answer["version"], answer["arn"]) == ("1", arn_of(versions, "live"))
        client.update_alias(FunctionName=versions, Name="live", FunctionVersion="2")
        assert http.request(server, "GET", url).json()["version"] == "2"
        policy = json.loads(client.get_policy(FunctionName=versions, Qualifier="live")["Policy"])
        assert [it["Resource"] for it in policy["Statement"]] == [arn_of(versions, "live")]
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            client.get_policy(FunctionName=versions)
        client.delete_alias(FunctionName=versions, Name="live")
        assert http.request(server, "GET", url).status == 403

    def test_are_fed_by_queues(self, server, client, make_function, name):
        sqs = server.client("sqs")
        queue = sqs.create_queue(QueueName=name)["QueueUrl"]
        script = (
            "def handler(event, context):\n"
            "    print('took', context.function_version, context.invoked_function_arn)\n"
        )
        function = make_function(script)
        client.publish_version(FunctionName=function)
        client.create_alias(FunctionName=function, Name="live", FunctionVersion="1")
        mapping = client.create_event_source_mapping(
            FunctionName=arn_of(function, "live"), EventSourceArn=arn(sqs, queue)
        )
        assert mapping["FunctionArn"] == arn_of(function, "live")
        sqs.send_message(QueueUrl=queue, MessageBody="x")
        said = until_said(server, function, "took")
        assert f"took 1 {arn_of(function, 'live')}" in said
        client.delete_event_source_mapping(UUID=mapping["UUID"])
        sqs.delete_queue(QueueUrl=queue)


def until_said(server, function, word):
    """The function's log, once a word is in it."""
    for _ in range(300):
        run = server.command_line("logs", function)
        if word in run.stdout:
            return run.stdout
        time.sleep(0.1)
    raise AssertionError(run.stdout + run.stderr)


class TestCommandLine:
    def test_of_aws(self, server, client, versions):
        def aws(*arguments):
            run = server.aws("lambda", *arguments, "--function-name", versions, "--output", "json")
            assert run.returncode == 0, run.stderr
            return json.loads(run.stdout) if run.stdout.strip() else None

        made = aws(
            "create-alias",
            "--name",
            "live",
            "--function-version",
            "1",
            "--routing-config",
            "AdditionalVersionWeights={2=0.25}",
        )
        assert made["RoutingConfig"] == {"AdditionalVersionWeights": {"2": 0.25}}
        aws("wait", "published-version-active", "--qualifier", "live")
        listed = aws("list-aliases", "--function-version", "1")["Aliases"]
        assert [alias["Name"] for alias in listed] == ["live"]
        updated = aws("update-alias", "--name", "live", "--routing-config", "{}")
        assert "RoutingConfig" not in updated
        assert aws("publish-version")["Version"] == "3"
        aws("delete-alias", "--name", "live")
        aws("delete-function", "--qualifier", "3")
        listed = aws("list-versions-by-function")["Versions"]
        assert [version["Version"] for version in listed] == ["$LATEST", "1", "2"]
