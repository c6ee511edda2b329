"""What of S3 is wire: signatures of every kind, bodies in chunks, forms, addresses, and bad input."""

import base64
import datetime
import hashlib
import hmac
import socket
import urllib.parse
import xml.etree.ElementTree as ElementTree

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from support import http
from support.server import REGION, Server, credentials

KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
BUCKET = "wire-bucket"


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    """A server that checks every signature."""
    directory = tmp_path_factory.mktemp("strict")
    server = Server(directory / "data", *credentials(directory, KEY, SECRET)).start()
    made = s3_of(server)
    made.create_bucket(Bucket=BUCKET)
    yield server
    server.stop()


def s3_of(server, **options):
    return server.client("s3", key=KEY, secret=SECRET, **options)


@pytest.fixture
def s3(strict):
    return s3_of(strict)


def error_of(answer) -> dict[str, str]:
    """The elements of an error, and that it is S3's."""
    root = ElementTree.fromstring(answer.body)
    assert root.tag == "Error", answer.body
    found = {child.tag: child.text for child in root}
    assert found["RequestId"] == answer.header("x-amz-request-id")
    assert found["HostId"] == answer.header("x-amz-id-2")
    return found


def url(server, path: str) -> str:
    return f"http://127.0.0.1:{server.port}{path}"


def signed(server, method, path, headers=None, body=b"", at=None, host=None):
    """Sends a request with the signature of an SDK."""
    target = f"http://{host}:{server.port}{path}" if host else url(server, path)
    request = AWSRequest(method, target, headers=headers or {}, data=body)
    S3SigV4Auth(Credentials(KEY, SECRET), "s3", REGION).add_auth(request)
    given = {name: str(value) for name, value in request.headers.items()}
    return http.request(server, method, target, body, given)


def absent(s3, key) -> bool:
    with pytest.raises(ClientError) as raised:
        s3.head_object(Bucket=BUCKET, Key=key)
    return raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_presigned_addresses_are_good_for_what_was_signed(strict, version):
    s3 = s3_of(strict, signature_version=version)
    key = f"presigned {version}/ä+b"
    arguments = {"Bucket": BUCKET, "Key": key}
    put = s3.generate_presigned_url("put_object", arguments | {"Metadata": {"who": "me"}})
    given = {} if "x-amz-meta-who=" in put else {"x-amz-meta-who": "me"}
    assert http.request(strict, "PUT", put, b"hello", given).status == 200
    get = s3.generate_presigned_url("get_object", arguments | {"ResponseContentType": "x/y"})
    got = http.request(strict, "GET", get)
    assert (got.body, got.header("content-type")) == (b"hello", "x/y")
    assert got.header("x-amz-meta-who") == "me"

    other = http.request(strict, "GET", get.replace("x%2Fy", "x%2Fz"))
    assert (other.status, error_of(other)["Code"]) == (403, "SignatureDoesNotMatch")
    assert error_of(http.request(strict, "PUT", get, b"x"))["Code"] == "SignatureDoesNotMatch"
    if version == "s3":
        late = s3.generate_presigned_url("get_object", arguments, ExpiresIn=-10)
        refused = http.request(strict, "GET", late)
        found = error_of(refused)
        assert (refused.status, found["Code"]) == (403, "AccessDenied")
        assert found["Message"] == "Request has expired" and found["Expires"]


def test_hosts_and_paths_name_the_same_objects(strict, s3):
    for key in ("a//b", "../up", "a/./b/", "100%", "sp ace+plus", "ü/日本"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
        path = "/" + urllib.parse.quote(key, safe="/~")
        for host in (f"{BUCKET}.s3.localhost", f"{BUCKET}.s3.{REGION}.localhost"):
            answer = signed(strict, "GET", path, host=host)
            assert (answer.status, answer.body) == (200, key.encode()), (host, key)
    listed = s3.list_objects_v2(Bucket=BUCKET)["Contents"]
    assert {"a//b", "../up", "100%"} <= {entry["Key"] for entry in listed}


def chunked(body: bytes, seed: str, at: str, size=8192) -> bytes:
    """A body in signed chunks, by AWS's specification."""
    day = at[:8]
    scope = f"{day}/{REGION}/s3/aws4_request"
    key = f"AWS4{SECRET}".encode()
    for part in (day, REGION, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    nothing = hashlib.sha256().hexdigest()
    out, previous = b"", seed
    pieces = [body[n : n + size] for n in range(0, len(body), size)] + [b""]
    for piece in pieces:
        text = "\n".join(
            ["AWS4-HMAC-SHA256-PAYLOAD", at, scope, previous, nothing]
            + [hashlib.sha256(piece).hexdigest()]
        )
        previous = hmac.digest(key, text.encode(), "sha256").hex()
        out += f"{len(piece):x};chunk-signature={previous}\r\n".encode() + piece + b"\r\n"
    return out


class ChunkedAuth(S3SigV4Auth):
    def payload(self, request):
        return "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"


def put_chunked(server, key, body, spoil=lambda sent: sent):
    path = f"/{BUCKET}/{key}"
    headers = {"x-amz-decoded-content-length": str(len(body)), "Content-Encoding": "aws-chunked"}
    headers["x-amz-content-sha256"] = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    request = AWSRequest("PUT", url(server, path), headers=headers)
    ChunkedAuth(Credentials(KEY, SECRET), "s3", REGION).add_auth(request)
    given = {name: str(value) for name, value in request.headers.items()}
    seed = given["Authorization"].rpartition("Signature=")[2]
    sent = spoil(chunked(body, seed, given["X-Amz-Date"]))
    return http.request(server, "PUT", url(server, path), sent, given)


def test_signed_chunks_are_taken_apart_and_checked(strict, s3):
    body = bytes(range(256)) * 100
    assert put_chunked(strict, "chunked", body).status == 200
    got = s3.get_object(Bucket=BUCKET, Key="chunked")
    assert got["Body"].read() == body and "ContentEncoding" not in got

    for code, spoil in [
        ("SignatureDoesNotMatch", lambda sent: sent.replace(bytes(range(64)), bytes(64), 1)),
        ("IncompleteBody", lambda sent: sent[:-100]),
        ("IncompleteBody", lambda sent: b"zz" + sent[2:]),
    ]:
        refused = put_chunked(strict, "spoilt", body, spoil)
        assert error_of(refused)["Code"] == code
    assert absent(s3, "spoilt")


def test_trailers_have_to_be_right(strict, s3):
    headers = {
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-decoded-content-length": "9",
        "x-amz-trailer": "x-amz-checksum-crc32",
    }

    class Unsigned(S3SigV4Auth):
        def payload(self, request):
            return headers["x-amz-content-sha256"]

    def put(key, trailer):
        path = f"/{BUCKET}/{key}"
        request = AWSRequest("PUT", url(strict, path), headers=dict(headers))
        Unsigned(Credentials(KEY, SECRET), "s3", REGION).add_auth(request)
        given = {name: str(value) for name, value in request.headers.items()}
        body = f"9\r\n123456789\r\n0\r\nx-amz-checksum-crc32:{trailer}\r\n\r\n".encode()
        return http.request(strict, "PUT", url(strict, path), body, given)

    good = put("trailer", "y/Q5Jg==")
    assert (good.status, good.header("x-amz-checksum-crc32")) == (200, "y/Q5Jg==")
    assert error_of(put("wrong", "AAAAAA=="))["Code"] == "BadDigest"
    assert absent(s3, "wrong")


def test_bodies_that_are_not_what_was_said_are_never_there(strict, s3):
    path = f"/{BUCKET}/unsaid"
    md5 = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    for headers, body, code in [
        ({"Content-MD5": md5}, b"body", "BadDigest"),
        ({"Content-MD5": "no"}, b"body", "InvalidDigest"),
        ({"x-amz-checksum-sha1": "AAAA"}, b"body", "InvalidRequest"),
        ({"x-amz-checksum-crc32": "AAAAAA=="}, b"body", "BadDigest"),
    ]:
        assert error_of(signed(strict, "PUT", path, headers, body))["Code"] == code

    request = AWSRequest("PUT", url(strict, path), data=b"signed")
    S3SigV4Auth(Credentials(KEY, SECRET), "s3", REGION).add_auth(request)
    given = {name: str(value) for name, value in request.headers.items()}
    other = http.request(strict, "PUT", url(strict, path), b"others", given)
    assert error_of(other)["Code"] == "XAmzContentSHA256Mismatch"
    assert absent(s3, "unsaid")


def answer_to(server, sent: bytes, end=True) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(sent)
        if end:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
            if b"</Error>" in answer:
                break
    return answer


def test_who_asks_before_sending_is_told_and_sends_nothing(strict):
    head = (
        f"PUT /{BUCKET}/asked HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000000\r\n"
        "Expect: 100-continue\r\n\r\n"
    )
    answer = answer_to(strict, head.encode(), end=False)
    assert answer.startswith(b"HTTP/1.1 403 "), answer
    assert b"100 Continue" not in answer and b"<Code>AccessDenied</Code>" in answer


def post(server, fields, file, where=f"/{BUCKET}"):
    boundary = "----wire"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    head = 'Content-Disposition: form-data; name="file"; filename="f.txt"'
    body = "".join(parts).encode() + f"--{boundary}\r\n{head}\r\n\r\n".encode()
    body += file + f"\r\n--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    return http.request(server, "POST", url(server, where), body, headers)


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_browsers_post_what_a_policy_lets_them(strict, version):
    s3 = s3_of(strict, signature_version=version)
    made = s3.generate_presigned_post(
        BUCKET,
        f"{version}/${{filename}}",
        Fields={"success_action_status": "201", "x-amz-meta-a": "b"},
        Conditions=[
            {"success_action_status": "201"},
            ["starts-with", "$x-amz-meta-a", "b"],
            ["content-length-range", 1, 200_000],
        ],
    )
    fields, file = made["fields"], b"\r\n--almost\r\n" * 10_000
    answer = post(strict, fields, file)
    assert answer.status == 201 and b"<Key>" + version.encode() + b"/f.txt</Key>" in answer.body
    got = s3.get_object(Bucket=BUCKET, Key=f"{version}/f.txt")
    assert got["Body"].read() == file and got["Metadata"] == {"a": "b"}

    for changed, body, code in [
        ({"x-amz-meta-a": "c"}, b"x", "AccessDenied"),
        ({"acl": "public-read"}, b"x", "AccessDenied"),
        ({"policy": base64.b64encode(b"{}").decode()}, b"x", "SignatureDoesNotMatch"),
        ({}, b"", "EntityTooSmall"),
        ({}, b"x" * 200_001, "EntityTooLarge"),
    ]:
        refused = post(strict, fields | {"key": f"{version}/${{filename}}"} | changed, body)
        assert error_of(refused)["Code"] == code
    assert error_of(post(strict, {"key": "anonymous"}, b"x"))["Code"] == "AccessDenied"
    assert error_of(post(strict, {}, b"x"))["Code"] == "InvalidArgument"


def test_documents_that_are_none_are_malformed(strict):
    namespace = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
    bomb = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
    good = f"<Tagging {namespace}><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"
    for document in [
        "no xml",
        bomb + good.replace("b</Value>", "&b;</Value>"),
        good.replace("b</Value>", "&unknown;</Value>"),
        '<!DOCTYPE a SYSTEM "file:///etc/passwd">' + good,
        "<a>" * 100_000,
        good[:-5],
        good + good,
        good.replace("<Key>", "<Key><Key>").replace("</Key>", "</Key></Key>"),
        good.replace("Tagging", "Other"),
        good.replace("<TagSet>", "<TagSet/><TagSet>"),
    ]:
        body = document.encode()
        md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
        answer = signed(strict, "PUT", f"/{BUCKET}?tagging", {"Content-MD5": md5}, body)
        assert (answer.status, error_of(answer)["Code"]) == (400, "MalformedXML"), document[:200]
    huge = b"<Tagging>" + b" " * (9 * 1024 * 1024)
    md5 = base64.b64encode(hashlib.md5(huge).digest()).decode()
    answer = signed(strict, "PUT", f"/{BUCKET}?tagging", {"Content-MD5": md5}, huge)
    assert error_of(answer)["Code"] == "MaxMessageLengthExceeded"


def test_garbage_is_answered_in_s3s_words(strict):
    path = f"/{BUCKET}/k"
    long_ago = datetime.datetime(2020, 1, 1).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{KEY}/20200101/{REGION}/s3/aws4_request"
    old = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature={'0' * 64}"
    for headers, status, code in [
        ({"Authorization": "Basic eDp5"}, 400, "InvalidArgument"),
        ({"Authorization": f"AWS {KEY}:garbage"}, 403, "AccessDenied"),
        ({"Authorization": old, "x-amz-date": long_ago}, 403, "RequestTimeTooSkewed"),
        ({"Authorization": old}, 400, "AuthorizationHeaderMalformed"),
    ]:
        # What is signed for nothing that can be told is S3's by its host.
        answer = http.request(strict, "GET", "http://s3.localhost" + path, None, headers)
        found = error_of(answer) if answer.body.startswith(b"<?xml") else {}
        assert (answer.status, found.get("Code")) == (status, code), (headers, answer)
    for query, code in [
        ("?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a/20260101/r/s3/aws4_request",
         "AuthorizationQueryParametersError"),
        ("?AWSAccessKeyId=x&Signature=y", "AuthorizationQueryParametersError"),
    ]:
        answer = http.request(strict, "GET", url(strict, path + query))
        assert error_of(answer)["Code"] == code
    assert error_of(http.request(strict, "POST", url(strict, path), b""))["Code"] == "MethodNotAllowed"
    website = f"http://{BUCKET}.s3-website-{REGION}.localhost/"
    assert error_of(http.request(strict, "GET", website))["Code"] == "NotImplemented"
