"""Queues by AWS's own command line."""

import json

import pytest


@pytest.fixture
def aws(server):
    """Runs `aws sqs …`; what it answers, where it succeeds. Version 1 of the aws CLI does not take
    AWS_ENDPOINT_URL for SQS: it has a default of its own in every region."""

    def run(*arguments):
        run = server.aws("sqs", *arguments, "--endpoint-url", server.url)
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout) if run.stdout.strip() else None

    return run


def test_a_queue_from_its_creation_to_its_deletion(server, aws, name):
    url = aws("create-queue", "--queue-name", name)["QueueUrl"]
    assert aws("get-queue-url", "--queue-name", name)["QueueUrl"] == url
    attributes = '{"kind": {"DataType": "String", "StringValue": "greeting"}}'
    sent = aws(
        "send-message", "--queue-url", url, "--message-body", "hello",
        "--message-attributes", attributes,
    )  # fmt: skip
    [message] = aws(
        "receive-message", "--queue-url", url, "--wait-time-seconds", "5",
        "--message-attribute-names", "All", "--attribute-names", "All",
    )["Messages"]  # fmt: skip
    assert message["MessageId"] == sent["MessageId"]
    assert message["Body"] == "hello"
    assert message["MessageAttributes"]["kind"]["StringValue"] == "greeting"
    aws("delete-message", "--queue-url", url, "--receipt-handle", message["ReceiptHandle"])
    assert aws("receive-message", "--queue-url", url) is None
    aws("delete-queue", "--queue-url", url)
    arguments = ["get-queue-url", "--queue-name", name, "--endpoint-url", server.url]
    refused = server.aws("sqs", *arguments)
    assert refused.returncode != 0
    assert "AWS.SimpleQueueService.NonExistentQueue" in refused.stderr


def test_a_fifo_queue_takes_a_batch(aws, name):
    url = aws(
        "create-queue", "--queue-name", f"{name}.fifo",
        "--attributes", "FifoQueue=true,ContentBasedDeduplication=true",
    )["QueueUrl"]  # fmt: skip
    entries = [
        {"Id": str(number), "MessageBody": f"m{number}", "MessageGroupId": "g"}
        for number in range(3)
    ]
    answer = aws("send-message-batch", "--queue-url", url, "--entries", json.dumps(entries))
    assert len(answer["Successful"]) == 3
    messages = aws("receive-message", "--queue-url", url, "--max-number-of-messages", "10")
    assert [message["Body"] for message in messages["Messages"]] == ["m0", "m1", "m2"]
    aws("purge-queue", "--queue-url", url)
    attributes = aws("get-queue-attributes", "--queue-url", url, "--attribute-names", "All")
    assert attributes["Attributes"]["FifoQueue"] == "true"
    assert attributes["Attributes"]["ApproximateNumberOfMessages"] == "0"
    aws("delete-queue", "--queue-url", url)
