"""Queues as the tests use them."""

import threading


def receive(sqs, url, count=1, wait_s=10, **options) -> list[dict]:
    """Receives until so many messages have come."""
    found = []
    while len(found) < count:
        answer = sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=min(10, count - len(found)),
            WaitTimeSeconds=wait_s,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
            **options,
        )
        messages = answer.get("Messages", [])
        assert messages, f"{len(found)} of {count} messages came"
        found += messages
    return found


def receive_nothing(sqs, url, **options) -> None:
    answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, **options)
    assert answer.get("Messages", []) == []


def bodies(messages) -> list[str]:
    return [message["Body"] for message in messages]


def delete(sqs, url, messages) -> None:
    for message in messages:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def counts(sqs, url) -> tuple[int, int, int]:
    """Visible, in flight, delayed."""
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return tuple(
        int(attributes[f"ApproximateNumberOfMessages{which}"])
        for which in ("", "NotVisible", "Delayed")
    )


def arn(sqs, url) -> str:
    answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return answer["Attributes"]["QueueArn"]


class Background:
    """Calls something in a thread and gives its result, or raises what it raised."""

    def __init__(self, work):
        self.work = work
        self.outcome = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            self.outcome = (self.work(), None)
        except Exception as error:  # noqa: BLE001 - it is raised again where it is asked for
            self.outcome = (None, error)

    def result(self, timeout_s=30):
        self.thread.join(timeout_s)
        assert self.outcome is not None, f"it takes longer than {timeout_s} s"
        value, error = self.outcome
        if error:
            raise error
        return value
