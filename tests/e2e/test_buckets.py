"""Buckets and objects over the whole server, with boto3 and the aws CLI."""

import hashlib
import io
import json
import os
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from conftest import ROLE, until_active
from support.package import PYTHON, python_package

MIB = 1024 * 1024


@pytest.fixture
def s3(server):
    return server.client("s3")


@pytest.fixture
def bucket(s3, name):
    """A bucket of the test's own, emptied and removed after it."""
    made = name.lower().replace("_", "-")[:63].strip("-")
    s3.create_bucket(Bucket=made)
    yield made
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=made):
        for version in page.get("Versions", []) + page.get("DeleteMarkers", []):
            s3.delete_object(Bucket=made, Key=version["Key"], VersionId=version["VersionId"])
    s3.delete_bucket(Bucket=made)


def code_of(error) -> str:
    return error.value.response["Error"]["Code"]


def test_objects_come_back_as_they_were_put(s3, bucket):
    for size in (0, 1, 16 * 1024 + 1, 3 * MIB):
        body = os.urandom(size)
        put = s3.put_object(
            Bucket=bucket, Key="a/b c.bin", Body=body, Metadata={"who": "me"}, ContentType="x/y"
        )
        got = s3.get_object(Bucket=bucket, Key="a/b c.bin")
        assert got["Body"].read() == body
        assert got["Metadata"] == {"who": "me"} and got["ContentType"] == "x/y"
        assert put["ETag"] == got["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    part = s3.get_object(Bucket=bucket, Key="a/b c.bin", Range="bytes=-10")
    assert part["Body"].read() == body[-10:]
    assert part["ResponseMetadata"]["HTTPStatusCode"] == 206
    s3.delete_object(Bucket=bucket, Key="a/b c.bin")
    with pytest.raises(ClientError) as gone:
        s3.get_object(Bucket=bucket, Key="a/b c.bin")
    assert code_of(gone) == "NoSuchKey"


def test_large_objects_go_up_in_parts_and_are_shared_by_copies(server, s3, bucket):
    body = os.urandom(18 * MIB)
    s3.upload_fileobj(io.BytesIO(body), bucket, "big")
    assert s3.head_object(Bucket=bucket, Key="big")["ContentLength"] == len(body)
    s3.copy({"Bucket": bucket, "Key": "big"}, bucket, "copy")
    into = io.BytesIO()
    s3.download_fileobj(bucket, "copy", into)
    assert into.getvalue() == body
    listed = server.aws("s3", "ls", f"s3://{bucket}/")
    assert listed.returncode == 0, listed.stderr
    assert "big" in listed.stdout and "copy" in listed.stdout


def test_of_many_that_must_be_the_first_one_is(s3, bucket):
    def put(n):
        try:
            s3.put_object(Bucket=bucket, Key="lock", Body=str(n), IfNoneMatch="*")
            return True
        except ClientError as error:
            assert error.response["Error"]["Code"] == "PreconditionFailed"
            return False

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(put, range(16))) == 1


def test_listings_are_in_pages_and_groups(s3, bucket):
    keys = [f"{letter}/{n:03}" for letter in "abc" for n in range(40)] + ["top"]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda key: s3.put_object(Bucket=bucket, Key=key, Body=b"x"), keys))
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 7})
    assert [o["Key"] for page in pages for o in page["Contents"]] == sorted(keys)
    grouped = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    assert [p["Prefix"] for p in grouped["CommonPrefixes"]] == ["a/", "b/", "c/"]
    assert [o["Key"] for o in grouped["Contents"]] == ["top"]


def test_code_of_a_function_lies_in_a_bucket(client, s3, bucket, name):
    package = python_package("def handler(event, context):\n    return 'from a bucket'\n")
    s3.put_object(Bucket=bucket, Key="code.zip", Body=package)
    arguments = {"Runtime": PYTHON, "Handler": "index.handler", "Role": ROLE}
    with pytest.raises(ClientError) as missing:
        code = {"S3Bucket": bucket, "S3Key": "none.zip"}
        client.create_function(FunctionName=name, Code=code, **arguments)
    assert "NoSuchKey" in missing.value.response["Error"]["Message"]
    code = {"S3Bucket": bucket, "S3Key": "code.zip"}
    client.create_function(FunctionName=name, Code=code, **arguments)
    until_active(client, name)
    answer = client.invoke(FunctionName=name)
    assert json.load(answer["Payload"]) == "from a bucket"
    client.delete_function(FunctionName=name)


def test_a_queue_is_told_of_every_object(server, s3, bucket, name):
    sqs = server.client("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    arn = attributes["Attributes"]["QueueArn"]
    configuration = {"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]}
    put = s3.put_bucket_notification_configuration
    with pytest.raises(ClientError) as refused:
        put(Bucket=bucket, NotificationConfiguration=configuration)
    assert code_of(refused) == "InvalidArgument", "the queue's policy does not let S3 in"
    policy = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Service": "s3.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": f"arn:aws:s3:::{bucket}"}},
        },
    }
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    put(Bucket=bucket, NotificationConfiguration=configuration)
    keys = {f"k {n}" for n in range(20)}
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    told, tests = set(), 0
    deadline = time.monotonic() + 30
    while len(told) < len(keys) or not tests:
        assert time.monotonic() < deadline, (told, tests)
        got = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=5)
        for message in got.get("Messages", []):
            body = json.loads(message["Body"])
            tests += body.get("Event") == "s3:TestEvent"
            told |= {r["s3"]["object"]["key"].replace("+", " ") for r in body.get("Records", [])}
    assert told == keys
    sqs.delete_queue(QueueUrl=url)


def test_a_page_of_another_site_is_answered_where_it_needs_no_credentials(server, s3, bucket):
    rule = {"AllowedOrigins": ["https://shop.example"], "AllowedMethods": ["GET"]}
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
    s3.put_object(Bucket=bucket, Key="price", Body=b"7")

    def ask(method, url, **headers):
        asked = urllib.request.Request(url, method=method, headers=headers)
        try:
            return urllib.request.urlopen(asked, timeout=20)
        except urllib.error.HTTPError as refused:
            return refused

    url = f"{server.url}/{bucket}/price"
    shop = {"Origin": "https://shop.example"}
    for method, origin, status in (
        ("GET", "https://shop.example", 200),
        ("PUT", "https://shop.example", 403),
        ("GET", "https://evil.example", 403),
    ):
        question = {"Origin": origin, "Access-Control-Request-Method": method}
        answer = ask("OPTIONS", url, **question)
        assert answer.status == status, (method, origin)
        allowed = answer.headers["access-control-allow-origin"]
        assert allowed == (origin if status == 200 else None)
    # Who has no credentials gets only what everybody may have.
    assert ask("GET", url, **shop).status == 403
    s3.delete_public_access_block(Bucket=bucket)
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    answer = ask("GET", url, **shop)
    assert (answer.status, answer.read()) == (200, b"7")
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    # In development the page could make up any credentials.
    presigned = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "price"})
    assert ask("GET", presigned, **shop).status == 400
