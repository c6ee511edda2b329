"""Services of several protocols behind one address: who speaks which is answered in it."""

import urllib.parse
import xml.etree.ElementTree as ElementTree

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from conftest import ROLE
from support import http
from support.package import ECHO, python_package
from support.server import ACCOUNT, REGION, credentials

FORM = "application/x-www-form-urlencoded; charset=utf-8"
QUEUE_XMLNS = "{http://queue.amazonaws.com/doc/2012-11-05/}"
SECRET = "a" * 40


def signed(method, url, body=b"", *, key="test", secret="test", service="sqs", **headers):
    """The headers of a request that is signed as SDKs sign."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = AWSRequest(method=method, url=url, data=body, headers=headers)
    SigV4Auth(Credentials(key, secret), service, REGION).add_auth(request)
    return dict(request.headers.items()) | {"Host": urllib.parse.urlsplit(url).netloc}


def form(server, path="/", *, host=None, key="test", secret="test", **parameters):
    """Sends what a client of before awsJson sends."""
    body = urllib.parse.urlencode(parameters).encode()
    url = f"http://{host or f'127.0.0.1:{server.port}'}{path}"
    headers = signed("POST", url, body, key=key, secret=secret, Content_Type=FORM)
    return http.request(server, "POST", url, body, headers)


def get(server, target, **headers):
    url = f"http://127.0.0.1:{server.port}{target}"
    return http.request(server, "GET", url, headers=signed("GET", url, **headers))


def error_of(answer):
    """Side, code and message of an error in XML."""
    root = ElementTree.fromstring(answer.body)
    assert root.tag == f"{QUEUE_XMLNS}ErrorResponse"
    assert root.find(f"{QUEUE_XMLNS}RequestId").text == answer.header("x-amzn-requestid")
    error = root.find(f"{QUEUE_XMLNS}Error")
    return tuple(error.find(f"{QUEUE_XMLNS}{part}").text for part in ("Type", "Code", "Message"))


@pytest.fixture(scope="module")
def raw_queues(server):
    return server.client("sqs", parameter_validation=False)


class TestTwoProtocols:
    def test_what_is_missing_is_said_in_both(self, server, raw_queues):
        message = "The request must contain the parameter QueueName."
        with pytest.raises(ClientError) as raised:
            raw_queues.create_queue()
        assert raised.value.response["Error"] == {
            "Message": message,
            "Code": "MissingParameter",
            "QueryErrorCode": "MissingRequiredParameterException",
            "Type": "Sender",
        }
        answer = form(server, Action="CreateQueue", Version="2012-11-05")
        assert answer.status == 400
        assert answer.header("content-type") == "text/xml"
        assert error_of(answer) == ("Sender", "MissingParameter", message)

    @pytest.mark.parametrize(
        "host", ["sqs.us-east-1.localhost:4566", "queue.localhost", "eu-west-1.queue.localhost"]
    )
    def test_any_host_name_will_do(self, server, host):
        answer = form(server, host=host, Action="CreateQueue")
        assert error_of(answer)[1] == "MissingParameter"

    def test_an_action_that_is_none(self, server):
        for answer in (
            form(server, Action="FooBar"),
            form(server, f"/{ACCOUNT}/q", Action="CreateQueue", QueueName="q"),
            get(server, f"/{ACCOUNT}/q?Action=ListQueues"),
        ):
            assert answer.status == 400
            side, code, message = error_of(answer)
            assert (side, code) == ("Sender", "InvalidAction")
            assert message.endswith(" is not valid for this endpoint.")

    def test_a_queue_is_nothing_to_look_at(self, server):
        answer = get(server, f"/{ACCOUNT}/q", Accept="application/json")
        assert (answer.status, answer.body) == (404, b"<UnknownOperationException/>\n")

    def test_a_get_may_ask_for_json(self, server):
        answer = get(server, "/?Action=CreateQueue", Accept="application/json")
        assert answer.header("content-type") == "application/json"
        assert answer.json()["Error"]["Code"] == "MissingParameter"

    def test_an_operation_that_awsjson_does_not_know(self, server):
        url = f"{server.url}/"
        headers = signed(
            "POST",
            url,
            b"{}",
            Content_Type="application/x-amz-json-1.0",
            X_Amz_Target="AmazonSQS.FooBar",
        )
        answer = http.request(server, "POST", url, b"{}", headers)
        assert answer.status == 400
        assert answer.header("content-type") == "application/x-amz-json-1.0"
        assert answer.header("x-amzn-query-error") == "InvalidAction;Sender"
        assert answer.json()["__type"].endswith("#UnknownOperationException")

    def test_a_signature_for_another_service(self, server):
        url = f"{server.url}/"
        headers = signed("POST", url, b"{}", service="lambda", X_Amz_Target="AmazonSQS.ListQueues")
        answer = http.request(server, "POST", url, b"{}", headers)
        assert answer.json()["__type"].endswith("#InvalidSignatureException")


class TestBounds:
    def test_a_body_that_no_message_needs(self, server, raw_queues):
        with pytest.raises(ClientError) as raised:
            raw_queues.send_message(QueueUrl="q", MessageBody="x" * (8 << 20))
        assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413
        answer = form(server, Action="SendMessage", MessageBody="x" * (8 << 20))
        assert answer.status == 413
        assert error_of(answer)[1] == "RequestEntityTooLargeException"

    def test_parameters_by_the_thousand(self, server):
        many = {f"Attribute.{n}000000.Name": "x" for n in range(60_000)}
        answer = form(server, Action="CreateQueue", QueueName="q", **many)
        assert error_of(answer)[1] == "MalformedInput"


class TestVerified:
    def test_a_forms_body_is_signed_too(self, new_server, tmp_path):
        server = new_server(*credentials(tmp_path, "AKIDQUEUES", SECRET)).start()
        known = {"key": "AKIDQUEUES", "secret": SECRET}
        assert error_of(form(server, **known, Action="CreateQueue"))[1] == "MissingParameter"
        unknown = form(server, Action="CreateQueue")
        assert (unknown.status, error_of(unknown)[1]) == (403, "InvalidClientTokenId")

        url = f"{server.url}/"
        headers = signed("POST", url, b"Action=CreateQueue", **known, Content_Type=FORM)
        changed = http.request(server, "POST", url, b"Action=ListQueues&", headers)
        assert (changed.status, error_of(changed)[1]) == (403, "SignatureDoesNotMatch")


def test_a_form_for_a_function_is_the_functions(client, server, name):
    """What looks like a call of SQS's is none at a function's own address."""
    client.create_function(
        FunctionName=name,
        Runtime="python3.12",
        Handler="index.handler",
        Role=ROLE,
        Code={"ZipFile": python_package(ECHO)},
    )
    try:
        config = client.create_function_url_config(FunctionName=name, AuthType="AWS_IAM")
        answer = http.request(
            server,
            "POST",
            config["FunctionUrl"],
            b"Action=ListQueues",
            {"Content-Type": FORM},
        )
        assert answer.status == 403
        assert answer.json()["Message"].startswith("Forbidden")
    finally:
        client.delete_function(FunctionName=name)
