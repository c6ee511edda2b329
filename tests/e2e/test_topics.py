"""Topics by boto3: one message to queues, a function and an HTTP endpoint, and what holds it up."""

import base64
import hashlib
import http.server
import json
import re
import threading
import urllib.request

import pytest
from botocore.exceptions import ClientError

from support.queues import arn
from support.server import ACCOUNT, REGION
from test_async_invoke import printed, until

SAY = """
import json

def handler(event, context):
    print("SAID " + json.dumps(event))
"""

POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": ["sns.amazonaws.com", "events.amazonaws.com"]},
            "Action": "sqs:SendMessage",
            "Resource": "*",
        }
    ],
}


class Endpoint:
    """An HTTP server that answers as it is told and keeps what it was sent."""

    def __init__(self):
        self.requests = []
        self.answers = lambda number: 200
        self.open = threading.Event()
        self.open.set()
        # What came in an era before is not kept.
        self.era = 0
        endpoint = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                era = endpoint.era
                body = self.rfile.read(int(self.headers["content-length"]))
                endpoint.open.wait()
                if era != endpoint.era:
                    return
                endpoint.requests.append((dict(self.headers.items()), body.decode()))
                self.send_response(endpoint.answers(len(endpoint.requests)))
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def messages(self, kind):
        bodies = (json.loads(body) for _, body in list(self.requests))
        return [body for body in bodies if body["Type"] == kind]

    def close(self):
        self.open.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def endpoint():
    made = Endpoint()
    yield made
    made.close()


class Clients:
    def __init__(self, server, name):
        self.server, self.name = server, name
        self.sns, self.sqs = server.client("sns"), server.client("sqs")
        self.topics, self.queues = [], []

    def topic(self, fifo=False, **attributes):
        name = f"{self.name}-{len(self.topics)}" + (".fifo" if fifo else "")
        if fifo:
            attributes["FifoTopic"] = "true"
        made = self.sns.create_topic(Name=name, Attributes=attributes)["TopicArn"]
        self.topics.append(made)
        return made

    def queue(self, fifo=False):
        name = f"{self.name}-{len(self.queues)}" + (".fifo" if fifo else "")
        attributes = {"Policy": json.dumps(POLICY)} | ({"FifoQueue": "true"} if fifo else {})
        made = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        self.queues.append(made)
        return made

    def subscribe(self, topic, protocol, address, **attributes):
        answer = self.sns.subscribe(
            TopicArn=topic,
            Protocol=protocol,
            Endpoint=address,
            Attributes=attributes,
            ReturnSubscriptionArn=True,
        )
        return answer["SubscriptionArn"]

    def subscribe_queue(self, topic, url, **attributes):
        return self.subscribe(topic, "sqs", arn(self.sqs, url), **attributes)

    def confirmed(self, topic, endpoint, **attributes):
        """An endpoint's subscription, confirmed by the link that it was sent."""
        made = self.subscribe(topic, "http", endpoint.url, **attributes)
        [asked] = until(lambda: endpoint.messages("SubscriptionConfirmation"))
        with urllib.request.urlopen(asked["SubscribeURL"]) as answer:
            assert b"ConfirmSubscriptionResponse" in answer.read()
        endpoint.requests.clear()
        return made

    def received(self, url, number):
        """So many messages of a queue, in their order, deleted."""
        found = []

        def enough():
            answer = self.sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=10,
                WaitTimeSeconds=2,
                AttributeNames=["All"],
                MessageAttributeNames=["All"],
            )
            for message in answer.get("Messages", []):
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                found.append(message)
            return len(found) >= number

        until(enough)
        assert len(found) == number
        return found

    def close(self):
        for topic in self.topics:
            self.sns.delete_topic(TopicArn=topic)
        for url in self.queues:
            self.sqs.delete_queue(QueueUrl=url)


@pytest.fixture
def clients(server, name):
    made = Clients(server, name)
    yield made
    made.close()


def verify(message):
    """That a message's signature is good by its certificate."""
    with urllib.request.urlopen(message["SigningCertURL"]) as answer:
        pem = answer.read().decode()
    der = base64.b64decode("".join(line for line in pem.splitlines() if "-----" not in line))
    # A modulus of 2,048 bits and the exponent 65537, as DER has them.
    [modulus] = re.findall(rb"\x02\x82\x01\x01\x00(.{256})\x02\x03\x01\x00\x01", der, re.DOTALL)
    if message["Type"] == "Notification":
        names = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"]
    else:
        names = ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    text = "".join(f"{name}\n{message[name]}\n" for name in names if name in message)
    kind = {"1": "sha1", "2": "sha256"}[message["SignatureVersion"]]
    signature = int.from_bytes(base64.b64decode(message["Signature"]), "big")
    opened = pow(signature, 65537, int.from_bytes(modulus, "big")).to_bytes(256, "big")
    digest = hashlib.new(kind, text.encode()).digest()
    assert opened.startswith(b"\x00\x01\xff") and opened.endswith(digest)


def test_one_message_reaches_queues_a_function_and_an_endpoint(
    server, clients, client, make_function, endpoint
):
    topic = clients.topic()
    whole, raw, other = clients.queue(), clients.queue(), clients.queue()
    clients.subscribe_queue(topic, whole)
    clients.subscribe_queue(topic, raw, RawMessageDelivery="true")
    clients.subscribe_queue(topic, other, FilterPolicy=json.dumps({"kind": ["other"]}))
    function = make_function(SAY)
    clients.subscribe(topic, "lambda", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}")
    client.add_permission(
        FunctionName=function,
        StatementId="topic",
        Action="lambda:InvokeFunction",
        Principal="sns.amazonaws.com",
        SourceArn=topic,
    )
    subscription = clients.confirmed(topic, endpoint)
    published = clients.sns.publish(
        TopicArn=topic,
        Subject="greeting",
        Message="hällo",
        MessageAttributes={"kind": {"DataType": "String", "StringValue": "news"}},
    )
    [message] = clients.received(whole, 1)
    body = json.loads(message["Body"])
    assert body["MessageId"] == published["MessageId"]
    assert (body["Subject"], body["Message"], body["TopicArn"]) == ("greeting", "hällo", topic)
    assert body["MessageAttributes"] == {"kind": {"Type": "String", "Value": "news"}}
    verify(body)
    [message] = clients.received(raw, 1)
    assert message["Body"] == "hällo"
    assert message["MessageAttributes"]["kind"]["StringValue"] == "news"
    [event] = until(lambda: printed(server, function, "SAID"))
    [record] = event["Records"]
    assert (record["EventSource"], record["EventVersion"]) == ("aws:sns", "1.0")
    assert record["Sns"]["Message"] == "hällo"
    assert record["Sns"]["MessageAttributes"]["kind"] == {"Type": "String", "Value": "news"}
    [body] = until(lambda: endpoint.messages("Notification"))
    verify(body)
    headers = {name.lower(): value for name, value in endpoint.requests[0][0].items()}
    assert headers["x-amz-sns-subscription-arn"] == subscription
    assert headers["x-amz-sns-message-type"] == "Notification"
    assert headers["content-type"] == "text/plain; charset=UTF-8"
    # The one whose filter does not take it has nothing, and gets what it does take.
    clients.sns.publish(
        TopicArn=topic,
        Message="for the other",
        MessageAttributes={"kind": {"DataType": "String", "StringValue": "other"}},
    )
    [message] = clients.received(other, 1)
    assert json.loads(message["Body"])["Message"] == "for the other"


def test_the_newer_signature_and_the_link_that_ends_a_subscription(clients, endpoint):
    topic = clients.topic(SignatureVersion="2")
    clients.confirmed(topic, endpoint)
    clients.sns.publish(TopicArn=topic, Message="signed")
    [body] = until(lambda: endpoint.messages("Notification"))
    assert body["SignatureVersion"] == "2"
    verify(body)
    with urllib.request.urlopen(body["UnsubscribeURL"]) as answer:
        assert b"UnsubscribeResponse" in answer.read()
    [told] = until(lambda: endpoint.messages("UnsubscribeConfirmation"))
    verify(told)
    assert clients.sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []


def test_a_fifo_topic_keeps_order_and_knows_duplicates(clients):
    topic = clients.topic(fifo=True)
    url = clients.queue(fifo=True)
    clients.subscribe_queue(topic, url, RawMessageDelivery="true")
    entries = [
        {
            "Id": str(number),
            "Message": str(number),
            "MessageGroupId": "g",
            "MessageDeduplicationId": f"d{number}",
        }
        for number in range(10)
    ]
    first = clients.sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)
    again = clients.sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)
    assert first["Successful"] == again["Successful"]
    numbers = [int(entry["SequenceNumber"]) for entry in first["Successful"]]
    assert numbers == sorted(numbers)
    messages = clients.received(url, 10)
    assert [message["Body"] for message in messages] == [str(number) for number in range(10)]
    assert messages[3]["Attributes"]["MessageDeduplicationId"] == "d3"


def test_an_endpoint_is_tried_again_and_what_it_refuses_is_a_dead_letter(clients, endpoint):
    topic = clients.topic()
    dead = clients.queue()
    retries = {"minDelayTarget": 1, "maxDelayTarget": 1, "numRetries": 2, "numNoDelayRetries": 2}
    clients.confirmed(
        topic,
        endpoint,
        DeliveryPolicy=json.dumps({"healthyRetryPolicy": retries}),
        RedrivePolicy=json.dumps({"deadLetterTargetArn": arn(clients.sqs, dead)}),
    )
    endpoint.answers = lambda number: 503 if number < 3 else 200
    clients.sns.publish(TopicArn=topic, Message="third time")
    until(lambda: len(endpoint.requests) == 3)
    endpoint.answers = lambda number: 503
    clients.sns.publish(TopicArn=topic, Message="never")
    [letter] = clients.received(dead, 1)
    assert json.loads(letter["Body"])["Message"] == "never"
    assert len(endpoint.requests) == 6
    endpoint.answers = lambda number: 404
    clients.sns.publish(TopicArn=topic, Message="refused")
    [letter] = clients.received(dead, 1)
    assert json.loads(letter["Body"])["Message"] == "refused"
    assert len(endpoint.requests) == 7


def test_a_topic_is_a_destination_and_takes_dead_letters(clients, client, make_function):
    done, failed = clients.topic(), clients.topic()
    succeeded, letters = clients.queue(), clients.queue()
    clients.subscribe_queue(done, succeeded)
    clients.subscribe_queue(failed, letters)
    function = make_function(
        "def handler(event, context):\n    return 1 / event\n",
        DeadLetterConfig={"TargetArn": failed},
    )
    client.put_function_event_invoke_config(
        FunctionName=function,
        MaximumRetryAttempts=0,
        DestinationConfig={"OnSuccess": {"Destination": done}},
    )
    client.invoke(FunctionName=function, InvocationType="Event", Payload=b"4")
    [message] = clients.received(succeeded, 1)
    record = json.loads(json.loads(message["Body"])["Message"])
    assert (record["requestPayload"], record["responsePayload"]) == (4, 0.25)
    client.invoke(FunctionName=function, InvocationType="Event", Payload=b"0")
    [message] = clients.received(letters, 1)
    letter = json.loads(message["Body"])
    assert letter["Message"] == "0"
    assert letter["MessageAttributes"]["ErrorMessage"]["Value"] == "division by zero"


def test_an_event_bus_is_a_destination(server, clients, client, make_function, name):
    url = clients.queue()
    events = server.client("events")
    pattern = {"source": ["lambda"], "detail": {"requestPayload": [{"exists": True}]}}
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": arn(clients.sqs, url)}])
    function = make_function("def handler(event, context):\n    return 1 / event\n")
    client.put_function_event_invoke_config(
        FunctionName=function,
        MaximumRetryAttempts=0,
        DestinationConfig={
            "OnFailure": {"Destination": f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"}
        },
    )
    client.invoke(FunctionName=function, InvocationType="Event", Payload=b"0")
    [message] = clients.received(url, 1)
    event = json.loads(message["Body"])
    assert event["detail-type"] == "Lambda Function Invocation Result - Failure"
    assert event["detail"]["responsePayload"]["errorType"] == "ZeroDivisionError"
    events.remove_targets(Rule=name, Ids=["1"])
    events.delete_rule(Name=name)


def test_nothing_published_is_lost_by_the_end_of_the_server(new_server, name, endpoint):
    server = new_server()
    server.start()
    clients = Clients(server, name)
    topic = clients.topic()
    url = clients.queue()
    clients.subscribe_queue(topic, url, RawMessageDelivery="true")
    clients.confirmed(topic, endpoint)
    endpoint.open.clear()
    bodies = [str(number) for number in range(40)]
    for body in bodies:
        clients.sns.publish(TopicArn=topic, Message=body)
    server.kill()
    endpoint.era += 1
    endpoint.open.set()
    server.start()
    after = Clients(server, name)
    url = after.sqs.get_queue_url(QueueName=f"{name}-0")["QueueUrl"]
    assert {message["Body"] for message in after.received(url, 40)} == set(bodies)

    def came():
        return {message["Message"] for message in endpoint.messages("Notification")}

    until(lambda: came() == set(bodies))


@pytest.mark.parametrize(
    ("protocol", "address", "what"),
    [
        ("email", "a@example.com", "e-mail"),
        ("sms", "+491701234567", "text messages"),
        ("application", "arn:aws:sns:us-east-1:000000000000:endpoint/GCM/a/b", "push"),
        ("firehose", "arn:aws:firehose:us-east-1:000000000000:deliverystream/s", "Firehose"),
    ],
)
def test_what_is_not_sent_is_refused_by_name(clients, protocol, address, what):
    topic = clients.topic()
    with pytest.raises(ClientError, match=what) as refused:
        clients.subscribe(topic, protocol, address)
    assert refused.value.response["Error"]["Code"] == "NotImplemented"


def test_a_topic_shows_what_it_was_given(clients):
    topic = clients.topic(DisplayName="News")
    sns = clients.sns
    sns.tag_resource(ResourceArn=topic, Tags=[{"Key": "team", "Value": "a"}])
    assert sns.list_tags_for_resource(ResourceArn=topic)["Tags"] == [{"Key": "team", "Value": "a"}]
    sns.untag_resource(ResourceArn=topic, TagKeys=["team"])
    assert sns.list_tags_for_resource(ResourceArn=topic)["Tags"] == []
    url = clients.queue()
    subscription = clients.subscribe_queue(topic, url)
    listed = sns.list_subscriptions()["Subscriptions"]
    assert subscription in [found["SubscriptionArn"] for found in listed]
    sns.set_subscription_attributes(
        SubscriptionArn=subscription, AttributeName="RawMessageDelivery", AttributeValue="true"
    )
    shown = sns.get_subscription_attributes(SubscriptionArn=subscription)["Attributes"]
    assert (shown["RawMessageDelivery"], shown["PendingConfirmation"]) == ("true", "false")
    sns.add_permission(
        TopicArn=topic, Label="other", AWSAccountId=["222222222222"], ActionName=["Publish"]
    )
    shown = sns.get_topic_attributes(TopicArn=topic)["Attributes"]
    assert (shown["DisplayName"], shown["SubscriptionsConfirmed"]) == ("News", "1")
    other = clients.server.client("sns", key="222222222222")
    other.publish(TopicArn=topic, Message="from another account")
    sns.remove_permission(TopicArn=topic, Label="other")
    with pytest.raises(ClientError, match="not authorized to perform: SNS:Publish"):
        other.publish(TopicArn=topic, Message="from another account")
    [message] = clients.received(url, 1)
    assert message["Body"] == "from another account"
    sns.unsubscribe(SubscriptionArn=subscription)
    assert topic in [found["TopicArn"] for found in sns.list_topics()["Topics"]]
