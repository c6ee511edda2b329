"""Function URLs: their configuration, and HTTP in and out of a function (payload format 2.0)."""

import base64
import json
import re

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from support import http, logs
from support.package import ECHO
from support.policy import open_to_all
from support.server import ACCOUNT, REGION

URL = re.compile(rf"https?://(?P<id>[a-z0-9]+)\.lambda-url\.{REGION}\.[^/]+/")


@pytest.fixture
def make_url(client, make_function):
    """Makes a function with a URL that anybody may call."""

    def make(code, auth="NONE", files=None, runtime=None, **options):
        function = make_function(code)
        made = client.create_function_url_config(FunctionName=function, AuthType=auth, **options)
        if auth == "NONE":
            open_to_all(client, function)
        return function, made["FunctionUrl"]

    return make


@pytest.fixture
def call(server):
    def call(method, url, body=None, headers=None, **options):
        return http.request(server, method, url, body, headers, **options)

    return call


class TestConfiguration:
    def test_lives_from_create_to_delete(self, client, make_function):
        function = make_function(ECHO)
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}"
        created = client.create_function_url_config(FunctionName=function, AuthType="NONE")
        assert created["ResponseMetadata"]["HTTPStatusCode"] == 201
        assert created["AuthType"] == "NONE" and created["FunctionArn"] == arn
        assert URL.fullmatch(created["FunctionUrl"])
        assert created["CreationTime"]
        found = client.get_function_url_config(FunctionName=function)
        assert found["FunctionUrl"] == created["FunctionUrl"]
        assert found["InvokeMode"] == "BUFFERED"
        assert found["LastModifiedTime"]
        cors = {"AllowOrigins": ["https://example.com"], "MaxAge": 60}
        updated = client.update_function_url_config(
            FunctionName=function, AuthType="AWS_IAM", Cors=cors
        )
        assert updated["AuthType"] == "AWS_IAM" and updated["Cors"] == cors
        assert updated["FunctionUrl"] == created["FunctionUrl"]
        listed = client.list_function_url_configs(FunctionName=function)["FunctionUrlConfigs"]
        assert [item["FunctionUrl"] for item in listed] == [created["FunctionUrl"]]
        deleted = client.delete_function_url_config(FunctionName=function)
        assert deleted["ResponseMetadata"]["HTTPStatusCode"] == 204
        assert client.list_function_url_configs(FunctionName=function)["FunctionUrlConfigs"] == []
        with pytest.raises(ClientError) as raised:
            client.get_function_url_config(FunctionName=function)
        error = raised.value.response
        assert error["Error"] == {
            "Code": "ResourceNotFoundException",
            "Message": "The resource you requested does not exist.",
        }
        assert error["ResponseMetadata"]["HTTPStatusCode"] == 404

    def test_only_one(self, client, make_function):
        function = make_function(ECHO)
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}"
        client.create_function_url_config(FunctionName=function, AuthType="NONE")
        with pytest.raises(ClientError) as raised:
            client.create_function_url_config(FunctionName=function, AuthType="NONE")
        assert raised.value.response["Error"] == {
            "Code": "ResourceConflictException",
            "Message": f"Failed to create function url config for [functionArn = {arn}]. "
            "Error message:  FunctionUrlConfig exists for this Lambda function",
        }

    def test_of_a_function_that_is_not_there(self, client):
        for call, message in [
            (client.create_function_url_config, "Function does not exist"),
            (client.get_function_url_config, "The resource you requested does not exist."),
        ]:
            arguments = {"FunctionName": "nowhere"}
            if call == client.create_function_url_config:
                arguments["AuthType"] = "NONE"
            with pytest.raises(ClientError) as raised:
                call(**arguments)
            error = raised.value.response["Error"]
            assert (error["Code"], error["Message"]) == ("ResourceNotFoundException", message)

    def test_a_qualifier_that_is_no_alias(self, client, make_function):
        function = make_function(ECHO)
        with pytest.raises(ClientError) as raised:
            client.create_function_url_config(
                FunctionName=function, AuthType="NONE", Qualifier="$LATEST"
            )
        assert raised.value.response["Error"] == {
            "Code": "ValidationException",
            "Message": "1 validation error detected: Value '$LATEST' at 'qualifier' failed to "
            r"satisfy constraint: Member must satisfy regular expression pattern: ((?!^\d+$)^"
            "[0-9a-zA-Z-_]+$)",
        }

    def test_without_a_policy_nobody_may_call(self, client, make_function, call):
        function = make_function(ECHO)
        made = client.create_function_url_config(FunctionName=function, AuthType="NONE")
        answer = call("GET", made["FunctionUrl"])
        assert answer.status == 403
        assert answer.json()["Message"].startswith("Forbidden")
        open_to_all(client, function)
        assert call("GET", made["FunctionUrl"]).status == 200
        client.remove_permission(FunctionName=function, StatementId="everybody")
        assert call("GET", made["FunctionUrl"]).status == 403

    def test_goes_with_its_function(self, client, make_url, call):
        function, url = make_url(ECHO)
        assert call("GET", url).status == 200
        client.delete_function(FunctionName=function)
        answer = call("GET", url)
        assert answer.status == 403
        assert answer.header("x-amzn-errortype") == "AccessDeniedException"
        assert answer.json()["Message"].startswith("Forbidden")

    def test_goes_with_its_alias(self, client, make_function, call):
        function = make_function(ECHO)
        client.create_alias(FunctionName=function, Name="live", FunctionVersion="$LATEST")
        made = client.create_function_url_config(
            FunctionName=function, AuthType="NONE", Qualifier="live"
        )
        open_to_all(client, function, Qualifier="live")
        assert call("GET", made["FunctionUrl"]).status == 200
        client.delete_alias(FunctionName=function, Name="live")
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            client.get_function_url_config(FunctionName=function, Qualifier="live")
        answer = call("GET", made["FunctionUrl"])
        assert answer.status == 403
        assert answer.json()["Message"].startswith("Forbidden")


class TestRequest:
    def test_becomes_the_event(self, make_url, call):
        _, url = make_url(ECHO)
        answer = call(
            "POST",
            url + "some/pa%20th?q=query&multi=a&multi=%2Fb&empty",
            b'{"foo": "bar"}',
            {
                "Content-Type": "application/json",
                "User-Agent": "test/agent",
                "ExTrA-HeadErs": "With WeiRd CapS",
                "Cookie": "a=1; b=2",
            },
        )
        assert answer.status == 200
        event = answer.json()
        assert event["version"] == "2.0"
        assert event["routeKey"] == "$default"
        assert event["rawPath"] == "/some/pa%20th"
        assert event["rawQueryString"] == "q=query&multi=a&multi=%2Fb&empty"
        assert event["queryStringParameters"] == {"q": "query", "multi": "a,/b", "empty": ""}
        assert event["cookies"] == ["a=1", "b=2"]
        headers = event["headers"]
        assert headers["content-type"] == "application/json"
        assert headers["user-agent"] == "test/agent"
        assert headers["extra-headers"] == "With WeiRd CapS"
        assert headers["content-length"] == "14"
        assert headers["host"] == url.split("/")[2]
        assert headers["x-forwarded-for"] == "127.0.0.1"
        assert headers["x-forwarded-proto"] in ("http", "https")
        assert headers["x-forwarded-port"].isdigit()
        assert headers["x-amzn-trace-id"].startswith("Root=1-")
        assert event["body"] == '{"foo": "bar"}'
        assert event["isBase64Encoded"] is False
        context = event["requestContext"]
        assert context["accountId"] == "anonymous"
        assert context["apiId"] == URL.match(url)["id"] == context["domainPrefix"]
        assert context["domainName"].startswith(f"{context['apiId']}.lambda-url.")
        assert context["stage"] == "$default" and context["routeKey"] == "$default"
        assert re.fullmatch(logs.ID, context["requestId"])
        assert re.fullmatch(r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000", context["time"])
        assert isinstance(context["timeEpoch"], int)
        assert context["http"] == {
            "method": "POST",
            "path": "/some/pa th",
            "protocol": "HTTP/1.1",
            "sourceIp": "127.0.0.1",
            "userAgent": "test/agent",
        }

    def test_without_anything(self, make_url, call):
        _, url = make_url(ECHO)
        event = call("GET", url).json()
        assert event["rawPath"] == "/" and event["rawQueryString"] == ""
        for absent in ("body", "cookies", "queryStringParameters"):
            assert absent not in event
        assert event["isBase64Encoded"] is False

    def test_a_binary_body(self, make_url, call):
        _, url = make_url(ECHO)
        body = bytes(range(256))
        event = call("PUT", url, body, {"Content-Type": "application/octet-stream"}).json()
        assert event["isBase64Encoded"] is True
        assert base64.b64decode(event["body"]) == body
        assert event["requestContext"]["http"]["method"] == "PUT"

    def test_a_form_is_binary(self, make_url, call):
        """Only text, JSON, XML and JavaScript pass as they are."""
        _, url = make_url(ECHO)
        kind = "application/x-www-form-urlencoded"
        event = call("POST", url, b"a=b", {"Content-Type": kind}).json()
        assert event["isBase64Encoded"] is True
        assert base64.b64decode(event["body"]) == b"a=b"

    def test_repeated_headers_are_joined(self, server, make_url):
        import http.client as client

        _, url = make_url(ECHO)
        connection = client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.putrequest("GET", "/", skip_host=True)
        connection.putheader("Host", url.split("/")[2])
        connection.putheader("X-Many", "one")
        connection.putheader("X-Many", "two")
        connection.endheaders()
        event = json.loads(connection.getresponse().read())
        connection.close()
        assert event["headers"]["x-many"] == "one,two"

    def test_a_chunked_body(self, server, make_url):
        import http.client as client

        _, url = make_url(ECHO)
        connection = client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        headers = {"Host": url.split("/")[2], "Content-Type": "text/plain"}
        connection.request("POST", "/", iter([b"in ", b"parts"]), headers, encode_chunked=True)
        event = json.loads(connection.getresponse().read())
        connection.close()
        assert event["body"] == "in parts"

    @pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
    def test_every_method(self, make_url, call, method):
        code = """
            def handler(event, context):
                return {"statusCode": 200, "headers": {"x-method": event["requestContext"]["http"]["method"]}}
        """
        _, url = make_url(code)
        answer = call(method, url)
        assert (answer.status, answer.header("x-method")) == (200, method)

    def test_by_path(self, server, make_url, call):
        """Where no name can be resolved, a path does: `/_lambent/url/<id>/…`."""
        _, url = make_url(ECHO)
        function_id = URL.match(url)["id"]
        event = call("GET", f"{server.url}/_lambent/url/{function_id}/a/b?c=d").json()
        assert (event["rawPath"], event["rawQueryString"]) == ("/a/b", "c=d")

    def test_of_no_function(self, server, call):
        """A name that a URL may have had is answered as one that is gone, another without a word."""
        for name, message in [("a" * 32, "Forbidden"), ("0" * 32, None)]:
            url = f"http://{name}.lambda-url.{REGION}.localhost:{server.port}/"
            answer = call("GET", url)
            assert answer.status == 403
            assert answer.header("x-amzn-errortype") == "AccessDeniedException"
            said = answer.json()["Message"]
            assert said == message or said.startswith(message)

    def test_a_body_over_6_mb(self, make_url, call):
        _, url = make_url(ECHO)
        answer = call("POST", url, b"x" * (6 * 1024 * 1024 + 1), {"Content-Type": "text/plain"})
        assert answer.status == 413


class TestResponse:
    @pytest.mark.parametrize(
        ("returned", "body"),
        [
            ('{"hello": "world"}', {"hello": "world"}),
            ('["hello", 3, True]', ["hello", 3, True]),
            ("3", 3),
            ("3.1", 3.1),
            ("True", True),
        ],
    )
    def test_without_a_status_is_the_body_itself(self, make_url, call, returned, body):
        _, url = make_url(f"def handler(event, context):\n    return {returned}\n")
        answer = call("GET", url)
        assert answer.status == 200
        assert answer.header("content-type") == "application/json"
        assert answer.json() == body

    def test_a_string_is_sent_without_its_quotes(self, make_url, call):
        _, url = make_url("def handler(event, context):\n    return 'hello'\n")
        answer = call("GET", url)
        assert (answer.status, answer.body) == (200, b"hello")
        assert answer.header("content-type") == "application/json"
        assert answer.header("content-length") == "5"

    def test_in_full(self, make_url, call):
        code = """
            def handler(event, context):
                return {
                    "statusCode": 201, "body": "made",
                    "headers": {"Content-Type": "text/plain", "X-Own": "yes"},
                    "cookies": ["a=1; HttpOnly", "b=2"],
                }
        """
        _, url = make_url(code)
        answer = call("POST", url)
        assert (answer.status, answer.body) == (201, b"made")
        assert answer.header("content-type") == "text/plain"
        assert answer.header("x-own") == "yes"
        assert answer.all("set-cookie") == ["a=1; HttpOnly", "b=2"]
        assert re.fullmatch(logs.ID, answer.header("x-amzn-requestid"))

    def test_binary(self, make_url, call):
        code = """
            import base64
            def handler(event, context):
                body = base64.b64encode(bytes(range(256))).decode()
                headers = {"content-type": "image/png"}
                return {"statusCode": 200, "headers": headers, "body": body, "isBase64Encoded": True}
        """
        _, url = make_url(code)
        answer = call("GET", url)
        assert answer.body == bytes(range(256))
        assert answer.header("content-type") == "image/png"
        assert answer.header("content-length") == "256"

    def test_only_a_status(self, make_url, call):
        _, url = make_url("def handler(event, context):\n    return {'statusCode': 204}\n")
        answer = call("GET", url)
        assert (answer.status, answer.body) == (204, b"")

    @pytest.mark.parametrize(
        "code",
        [
            "def handler(event, context):\n    raise Exception('no')\n",
            "import os\ndef handler(event, context):\n    os._exit(1)\n",
            "def handler(event, context):\n    return {'statusCode': 'many'}\n",
            "def handler(event, context):\n    return {'statusCode': 200, 'body': '%', 'isBase64Encoded': True}\n",
        ],
        ids=["raises", "exits", "no-status", "no-base64"],
    )
    def test_a_function_that_fails_is_a_bad_gateway(self, make_url, call, code):
        _, url = make_url(code)
        answer = call("GET", url)
        assert answer.status == 502
        assert answer.body == b"Internal Server Error"
        assert re.fullmatch(logs.ID, answer.header("x-amzn-requestid"))

    def test_a_throttled_function(self, client, make_url, call):
        function, url = make_url(ECHO)
        client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
        answer = call("GET", url)
        assert answer.status == 429
        assert "Rate Exceeded" in answer.body.decode()


class TestCors:
    CORS = {
        "AllowOrigins": ["https://shop.example"],
        "AllowMethods": ["GET", "POST"],
        "AllowHeaders": ["x-own"],
        "ExposeHeaders": ["x-shown"],
        "AllowCredentials": True,
        "MaxAge": 600,
    }

    def test_a_preflight_does_not_reach_the_function(self, make_url, call):
        _, url = make_url("raise Exception('reached')\n", Cors=self.CORS)
        headers = {
            "Origin": "https://shop.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "x-own",
        }
        answer = call("OPTIONS", url, headers=headers)
        assert answer.status in (200, 204)
        assert answer.header("access-control-allow-origin") == "https://shop.example"
        allowed = answer.header("access-control-allow-methods").replace(" ", "").split(",")
        assert sorted(allowed) == ["GET", "POST"]
        assert answer.header("access-control-allow-headers").lower() == "x-own"
        assert answer.header("access-control-max-age") == "600"
        assert answer.header("access-control-allow-credentials") == "true"

    def test_an_allowed_origin(self, make_url, call):
        _, url = make_url(ECHO, Cors=self.CORS)
        answer = call("GET", url, headers={"Origin": "https://shop.example"})
        assert answer.status == 200
        assert answer.header("access-control-allow-origin") == "https://shop.example"
        assert answer.header("access-control-allow-credentials") == "true"
        assert answer.header("access-control-expose-headers").lower() == "x-shown"

    def test_another_origin(self, make_url, call):
        _, url = make_url(ECHO, Cors=self.CORS)
        answer = call("GET", url, headers={"Origin": "https://evil.example"})
        assert answer.status == 200
        assert answer.header("access-control-allow-origin") is None

    def test_none_configured(self, make_url, call):
        _, url = make_url(ECHO)
        answer = call("GET", url, headers={"Origin": "https://shop.example"})
        assert answer.header("access-control-allow-origin") is None

    def test_any_origin(self, make_url, call):
        _, url = make_url(ECHO, Cors={"AllowOrigins": ["*"]})
        answer = call("GET", url, headers={"Origin": "https://any.example"})
        assert answer.header("access-control-allow-origin") in ("*", "https://any.example")


class TestIam:
    def signed(self, url, method="GET", body=None, key="test", secret="test"):
        request = AWSRequest(method, url, data=body, headers={"Host": url.split("/")[2]})
        SigV4Auth(Credentials(key, secret), "lambda", REGION).add_auth(request)
        return dict(request.headers.items())

    def test_unsigned_is_forbidden(self, make_url, call):
        _, url = make_url("raise Exception('reached')\n", auth="AWS_IAM")
        answer = call("GET", url)
        assert answer.status == 403
        assert answer.json()["Message"].startswith("Forbidden")

    def test_signed_passes_and_names_the_caller(self, make_url, call):
        _, url = make_url(ECHO, auth="AWS_IAM")
        answer = call("POST", url + "x?a=b", b"text", self.signed(url + "x?a=b", "POST", b"text"))
        assert answer.status == 200
        event = answer.json()
        assert event["requestContext"]["accountId"] == ACCOUNT
        caller = event["requestContext"]["authorizer"]["iam"]
        assert caller["accessKey"] == "test"
        assert caller["accountId"] == ACCOUNT
        assert caller["userArn"].startswith(f"arn:aws:iam::{ACCOUNT}:")
        assert "authorization" not in event["headers"]

    def test_a_signature_of_something_else(self, make_url, call):
        _, url = make_url("raise Exception('reached')\n", auth="AWS_IAM")
        headers = self.signed(url)
        headers["Authorization"] = headers["Authorization"].replace("Signature=", "Signature=f00")
        assert call("GET", url, headers=headers).status == 403
