"""Queues by boto3: what applications do with SQS, and what they rely on."""

import concurrent.futures
import json
import time

import botocore.exceptions
import pytest

from support.queues import (
    Background,
    arn,
    bodies,
    counts,
    delete,
    receive,
    receive_nothing,
)


@pytest.fixture(scope="module")
def sqs(server):
    return server.client("sqs")


@pytest.fixture
def make_queue(sqs, name):
    """Makes queues with names of their own, and removes them after the test."""
    made = []

    def make(fifo=False, tags=None, **attributes) -> str:
        queue = f"{name}-{len(made)}" + (".fifo" if fifo else "")
        if fifo:
            attributes["FifoQueue"] = "true"
        answer = sqs.create_queue(QueueName=queue, Attributes=attributes, tags=tags or {})
        made.append(answer["QueueUrl"])
        return made[-1]

    yield make
    for url in made:
        try:
            sqs.delete_queue(QueueUrl=url)
        except sqs.exceptions.QueueDoesNotExist:
            pass


def test_a_message_comes_as_it_was_sent_and_goes_when_deleted(sqs, make_queue):
    url = make_queue()
    attributes = {
        "text": {"DataType": "String", "StringValue": "wörter"},
        "number": {"DataType": "Number", "StringValue": "12.5"},
        "bytes": {"DataType": "Binary.png", "BinaryValue": b"\x00\xff\x89"},
    }
    body = "grüße 🦀 <&>\n\t\"quoted\""
    # boto3 checks the digest of the body itself.
    sent = sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=attributes)
    [message] = receive(sqs, url)
    assert message["MessageId"] == sent["MessageId"]
    assert message["Body"] == body
    assert message["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    assert message["MessageAttributes"] == attributes
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"
    assert abs(int(message["Attributes"]["SentTimestamp"]) / 1000 - time.time()) < 60
    assert counts(sqs, url) == (0, 1, 0)
    delete(sqs, url, [message])
    assert counts(sqs, url) == (0, 0, 0)
    receive_nothing(sqs, url)


def test_a_message_is_a_mebibyte_long_at_most(sqs, make_queue):
    url = make_queue()
    sqs.send_message(QueueUrl=url, MessageBody="x" * 1_048_576)
    [message] = receive(sqs, url)
    assert len(message["Body"]) == 1_048_576
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        sqs.send_message(QueueUrl=url, MessageBody="x" * 1_048_577)
    assert refused.value.response["Error"]["Code"] == "InvalidParameterValue"


def test_attributes_tags_and_lists(sqs, make_queue):
    url = make_queue(tags={"team": "a"}, VisibilityTimeout="7", DelaySeconds="1")
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert attributes["VisibilityTimeout"] == "7"
    assert attributes["MessageRetentionPeriod"] == "345600"
    assert attributes["SqsManagedSseEnabled"] == "true"
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"DelaySeconds": "0"})
    some = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["DelaySeconds"])
    assert some["Attributes"] == {"DelaySeconds": "0"}
    sqs.tag_queue(QueueUrl=url, Tags={"stage": "test"})
    sqs.untag_queue(QueueUrl=url, TagKeys=["team"])
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"stage": "test"}
    name = url.rsplit("/", 1)[1]
    assert sqs.get_queue_url(QueueName=name)["QueueUrl"] == url
    urls = [make_queue() for _ in range(3)] + [url]
    pages = sqs.get_paginator("list_queues").paginate(
        QueueNamePrefix=name.rsplit("-", 1)[0], PaginationConfig={"PageSize": 2}
    )
    assert sorted(found for page in pages for found in page["QueueUrls"]) == sorted(urls)


def test_a_batch_fails_only_where_it_is_wrong(sqs, make_queue):
    url = make_queue()
    entries = [{"Id": str(n), "MessageBody": f"m{n}"} for n in range(9)]
    wrong = {"Id": "wrong", "MessageBody": "m", "DelaySeconds": 901}
    answer = sqs.send_message_batch(QueueUrl=url, Entries=[*entries, wrong])
    assert [entry["Id"] for entry in answer["Successful"]] == [entry["Id"] for entry in entries]
    [failed] = answer["Failed"]
    assert failed["Id"] == "wrong" and failed["SenderFault"]
    messages = receive(sqs, url, 9)
    assert sorted(bodies(messages)) == [entry["MessageBody"] for entry in entries]
    handles = [
        {"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]}
        for n, message in enumerate(messages)
    ]
    stale = {"Id": "stale", "ReceiptHandle": "none of ours"}
    answer = sqs.delete_message_batch(QueueUrl=url, Entries=[*handles, stale])
    assert len(answer["Successful"]) == 9
    assert [entry["Id"] for entry in answer["Failed"]] == ["stale"]
    answer = sqs.send_message_batch(QueueUrl=url, Entries=entries[:1])
    assert "Failed" not in answer
    [message] = receive(sqs, url, 1)
    handles = [{"Id": "0", "ReceiptHandle": message["ReceiptHandle"]}]
    assert "Failed" not in sqs.delete_message_batch(QueueUrl=url, Entries=handles)
    assert counts(sqs, url) == (0, 0, 0)


def test_an_unknown_queue_is_an_error_that_clients_know(sqs, server):
    url = f"{server.url}/000000000000/there-is-none"
    with pytest.raises(sqs.exceptions.QueueDoesNotExist) as missing:
        sqs.send_message(QueueUrl=url, MessageBody="m")
    assert missing.value.response["Error"]["Code"] == "AWS.SimpleQueueService.NonExistentQueue"


def test_a_waiting_receiver_gets_a_message_at_once(sqs, server, make_queue):
    url = make_queue()
    waiting = Background(lambda: receive(server.client("sqs"), url, wait_s=20))
    # Sent while it waits, or just before it does: it comes either way, long before the wait ends.
    begun = time.monotonic()
    sqs.send_message(QueueUrl=url, MessageBody="now")
    assert bodies(waiting.result()) == ["now"]
    assert time.monotonic() - begun < 10


def test_a_waiting_receiver_gets_what_is_given_back(sqs, server, make_queue):
    url = make_queue()
    sqs.send_message(QueueUrl=url, MessageBody="again")
    [message] = receive(sqs, url)
    waiting = Background(lambda: receive(server.client("sqs"), url, wait_s=20))
    sqs.change_message_visibility(
        QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
    )
    [again] = waiting.result()
    assert again["MessageId"] == message["MessageId"]
    assert again["Attributes"]["ApproximateReceiveCount"] == "2"


def test_a_message_comes_back_when_its_visibility_timeout_is_over(sqs, make_queue):
    url = make_queue(VisibilityTimeout="1")
    sqs.send_message(QueueUrl=url, MessageBody="m")
    [first] = receive(sqs, url)
    receive_nothing(sqs, url)
    [second] = receive(sqs, url)
    assert second["Attributes"]["ApproximateReceiveCount"] == "2"
    assert second["ReceiptHandle"] != first["ReceiptHandle"]


def test_a_delayed_message_waits(sqs, make_queue):
    url = make_queue()
    begun = time.time()
    sqs.send_message(QueueUrl=url, MessageBody="later", DelaySeconds=1)
    assert counts(sqs, url) == (0, 0, 1)
    receive_nothing(sqs, url)
    assert bodies(receive(sqs, url)) == ["later"]
    assert time.time() - begun >= 0.99


def test_a_purged_queue_is_empty(sqs, make_queue):
    url = make_queue()
    sqs.send_message(QueueUrl=url, MessageBody="m")
    sqs.purge_queue(QueueUrl=url)
    assert counts(sqs, url) == (0, 0, 0)
    receive_nothing(sqs, url)


def send_fifo(sqs, url, *groups_and_bodies):
    for group, body in groups_and_bodies:
        sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId=group)


def test_a_group_comes_in_order_and_waits_for_its_first(sqs, make_queue):
    url = make_queue(fifo=True, ContentBasedDeduplication="true")
    send_fifo(sqs, url, ("a", "a1"), ("a", "a2"), ("b", "b1"))
    [first] = receive(sqs, url)
    assert first["Body"] == "a1"
    # The group is held: only the other one's come.
    [other] = receive(sqs, url)
    assert other["Body"] == "b1"
    receive_nothing(sqs, url)
    delete(sqs, url, [first, other])
    [second] = receive(sqs, url)
    assert second["Body"] == "a2"
    assert second["Attributes"]["MessageGroupId"] == "a"
    numbers = [int(message["Attributes"]["SequenceNumber"]) for message in (first, second)]
    assert numbers == sorted(numbers)


def test_a_duplicate_is_accepted_and_does_not_come(sqs, make_queue):
    url = make_queue(fifo=True)
    send = {"QueueUrl": url, "MessageGroupId": "g", "MessageDeduplicationId": "once"}
    first = sqs.send_message(MessageBody="m", **send)
    second = sqs.send_message(MessageBody="m", **send)
    assert second["MessageId"] == first["MessageId"]
    assert second["SequenceNumber"] == first["SequenceNumber"]
    delete(sqs, url, receive(sqs, url))
    # It is remembered when the message is gone.
    sqs.send_message(MessageBody="m", **send)
    receive_nothing(sqs, url)


def test_many_consumers_of_groups_keep_each_groups_order(sqs, server, make_queue):
    url = make_queue(fifo=True, ContentBasedDeduplication="true")
    groups, each = 5, 12
    for number in range(each):
        entries = [
            {"Id": f"{group}", "MessageBody": f"{group}:{number}", "MessageGroupId": f"{group}"}
            for group in range(groups)
        ]
        sqs.send_message_batch(QueueUrl=url, Entries=entries)
    seen = {group: [] for group in range(groups)}

    def consume(_):
        client = server.client("sqs")
        while True:
            options = {"MaxNumberOfMessages": 3, "WaitTimeSeconds": 1}
            messages = client.receive_message(QueueUrl=url, **options).get("Messages", [])
            if not messages:
                return
            for message in messages:
                group, number = map(int, message["Body"].split(":"))
                # Nobody else has one of this group now.
                seen[group].append(number)
                delete(client, url, [message])

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(consume, range(4)))
    assert seen == {group: list(range(each)) for group in range(groups)}


def test_what_fails_too_often_is_a_dead_letter_and_can_be_moved_back(sqs, make_queue):
    dead = make_queue()
    policy = json.dumps({"deadLetterTargetArn": arn(sqs, dead), "maxReceiveCount": 2})
    url = make_queue(RedrivePolicy=policy, VisibilityTimeout="0")
    assert sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == [url]
    sent = sqs.send_message(QueueUrl=url, MessageBody="poison")
    for _ in range(2):
        receive(sqs, url)
    receive_nothing(sqs, url)
    [letter] = receive(sqs, dead, VisibilityTimeout=0)
    assert letter["MessageId"] == sent["MessageId"]
    assert letter["Attributes"]["DeadLetterQueueSourceArn"] == arn(sqs, url)
    sqs.start_message_move_task(SourceArn=arn(sqs, dead))
    assert bodies(receive(sqs, url)) == ["poison"]
    [task] = sqs.list_message_move_tasks(SourceArn=arn(sqs, dead))["Results"]
    assert task["ApproximateNumberOfMessagesMoved"] == 1


def test_queues_survive_a_crash_with_all_that_was_acknowledged(new_server):
    server = new_server().start()
    sqs = server.client("sqs")
    plain = sqs.create_queue(QueueName="plain")["QueueUrl"]
    attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    fifo = sqs.create_queue(QueueName="ordered.fifo", Attributes=attributes)["QueueUrl"]
    for number in range(30):
        sqs.send_message(QueueUrl=plain, MessageBody=f"m{number}")
    send_fifo(sqs, fifo, ("a", "a1"), ("a", "a2"), ("b", "b1"), ("b", "b2"))
    delete(sqs, plain, receive(sqs, plain, 10))
    held, done = receive(sqs, fifo), receive(sqs, fifo)
    assert bodies(held + done) == ["a1", "b1"]
    delete(sqs, fifo, done)
    server.kill()
    server.start()
    sqs = server.client("sqs")
    # The URLs are of the port that it had before.
    left = receive(sqs, plain, 20, VisibilityTimeout=60)
    assert len({message["MessageId"] for message in left}) == 20
    assert bodies(receive(sqs, fifo)) == ["b2"]
    receive_nothing(sqs, fifo)
    # A handle from before the crash is as good as any.
    delete(sqs, fifo, held)
    assert bodies(receive(sqs, fifo)) == ["a2"]
    # A duplicate is one after a crash too.
    send_fifo(sqs, fifo, ("c", "a1"))
    receive_nothing(sqs, fifo)


def test_a_stopping_server_lets_waiting_receivers_go(new_server):
    server = new_server().start()
    url = server.client("sqs").create_queue(QueueName="idle")["QueueUrl"]
    client = server.client("sqs")
    waiting = Background(
        lambda: client.receive_message(QueueUrl=url, WaitTimeSeconds=20).get("Messages", [])
    )
    assert server.client("sqs").list_queues()["QueueUrls"] == [url]
    begun = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - begun < 15
    try:
        assert waiting.result() == []
    except botocore.exceptions.BotoCoreError:
        # Its connection was closed before it had asked.
        pass
