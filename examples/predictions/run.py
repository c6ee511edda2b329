"""Puts pictures into the bucket and tells what came of them: text, speed, and the bill.

    python3 examples/predictions/run.py 500
    python3 examples/predictions/run.py 500 --archives 100     # in zip archives of a hundred

The pictures are drawn, so what is written on them is known, and what was predicted is compared.
"""

import argparse
import concurrent.futures
import dataclasses
import datetime
import io
import json
import os
import statistics
import time
import uuid
import zipfile
from urllib.parse import unquote_plus

from stack import Stack, packages

AT_ONCE = 16
# How long nothing may happen before we say what is missing.
PATIENCE_S = 180
RECEIVE_WAIT_S = 20


@dataclasses.dataclass
class Put:
    """A picture on its way, and what of it came back."""

    key: str
    version: str
    member: str | None
    expected: list[str]
    at: float
    results: list[dict] = dataclasses.field(default_factory=list)

    @property
    def result_key(self):
        return "/".join([self.key, self.version] + [self.member] * bool(self.member)) + ".json"

    def is_right(self):
        import pictures

        (result,) = self.results
        return pictures.same(self.expected, [line["text"] for line in result["lines"]])


def main(arguments=None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=int, nargs="?", default=100)
    parser.add_argument("--archives", type=int, metavar="N", help="put zip archives of so many")
    parser.add_argument("--prefix", default="predictions", help="what all names begin with")
    parser.add_argument("--seed", type=int, default=0, help="the number of the first picture")
    parser.add_argument("--quiet", action="store_true", help="do not print each prediction")
    given = parser.parse_args(arguments)
    stack = Stack(given.prefix)
    stack.reach()
    packages()
    before = stack.bill()
    numbers = range(given.seed, given.seed + given.pictures)
    drawn = drawing(numbers)
    begun = time.time()
    puts = put(stack, drawn, f"run-{uuid.uuid4().hex[:8]}", given.archives)
    put_s = time.time() - begun
    done = Done(stack, puts)
    done.until_all()
    ended = time.time()
    if not given.quiet:
        show(puts)
    report(stack, puts, begun, put_s, ended, before)


def drawing(numbers):
    import pictures

    with concurrent.futures.ProcessPoolExecutor() as pool:
        return list(pool.map(pictures.draw, numbers, chunksize=16))


def put(stack, drawn, folder, archives=None) -> list[Put]:
    """Uploads, several at once; by themselves or in archives."""
    s3 = stack.client("s3")

    def upload(key, data):
        at = time.time()
        answer = s3.put_object(Bucket=stack.pictures, Key=key, Body=data)
        return at, (answer.get("VersionId") or answer["ETag"]).strip('"')

    def alone(picture):
        key = f"{folder}/{picture.name}"
        at, version = upload(key, picture.data)
        return [Put(key, version, None, picture.lines, at)]

    def together(number, part):
        key = f"{folder}/archive-{number:03}.zip"
        at, version = upload(key, zipped(part))
        return [Put(key, version, picture.name, picture.lines, at) for picture in part]

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        if archives:
            parts = [drawn[at : at + archives] for at in range(0, len(drawn), archives)]
            found = pool.map(together, range(len(parts)), parts)
        else:
            found = pool.map(alone, drawn)
        return [one for puts in found for one in puts]


def zipped(pictures) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for picture in pictures:
            archive.writestr(picture.name, picture.data)
    return buffer.getvalue()


class Done:
    """Follows the queue that tells of results. What it tells twice counts once."""

    def __init__(self, stack, puts):
        self.stack, self.s3, self.sqs = stack, stack.client("s3"), stack.client("sqs")
        self.waiting = {one.result_key: one for one in puts}
        self.count = len(puts)
        self.queue = self.sqs.get_queue_url(QueueName=stack.done)["QueueUrl"]

    def until_all(self) -> None:
        heard = time.monotonic()
        while self.waiting:
            before = len(self.waiting)
            self.once()
            if len(self.waiting) < before:
                heard = time.monotonic()
            elif time.monotonic() - heard > PATIENCE_S:
                raise SystemExit(self.complaint())

    def once(self) -> None:
        """Waits for the next results and takes them."""
        messages = self.sqs.receive_message(
            QueueUrl=self.queue, MaxNumberOfMessages=10, WaitTimeSeconds=RECEIVE_WAIT_S
        ).get("Messages", [])
        for message in messages:
            for record in json.loads(message["Body"]).get("Records", []):
                key = unquote_plus(record["s3"]["object"]["key"])
                if one := self.waiting.pop(key, None):
                    body = self.s3.get_object(Bucket=self.stack.results, Key=key)["Body"]
                    one.results.append(json.load(body))
        if messages:
            entries = [
                {"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]}
                for n, message in enumerate(messages)
            ]
            self.sqs.delete_message_batch(QueueUrl=self.queue, Entries=entries)

    def complaint(self) -> str:
        counts = ", ".join(
            f"{name}: {waiting(self.sqs, name)}"
            for name in (self.stack.uploads, self.stack.tasks, self.stack.dead)
        )
        missing = "\n  ".join(sorted(self.waiting)[:5])
        return (
            f"{len(self.waiting)} of {self.count} results have not come, and nothing has for "
            f"{PATIENCE_S} s. Messages in {counts}. The first:\n  {missing}\n"
            f"`lambent logs {self.stack.predict}` may know why."
        )


def waiting(sqs, name) -> int:
    """Messages in a queue, taken ones included."""
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return sum(int(found[f"ApproximateNumberOfMessages{which}"]) for which in ("", "NotVisible"))


def show(puts) -> None:
    for one in puts:
        (result,) = one.results
        read = [line["text"] for line in result["lines"]]
        mark = "✓" if one.is_right() else "✗"
        name = one.member or os.path.basename(one.key)
        print(f"{mark} {name}  {result['confidence']:.2f}  {' | '.join(read)}")


def report(stack, puts, begun, put_s, ended, before) -> None:
    results = [one.results[0] for one in puts]
    latencies = [moment(one.results[0]["predicted_at"]) - one.at for one in puts]
    each = [result["milliseconds"] for result in results]
    environments = {result["environment"] for result in results}
    count, span = len(puts), ended - begun

    def say(what, text):
        print(f"{what:14} {text}")

    def spread(values, unit, digits):
        low, high = statistics.median(values), at(values, 0.99)
        return f"median {low:.{digits}f} {unit}, 99 % below {high:.{digits}f} {unit}"

    right = sum(one.is_right() for one in puts)
    say("pictures", f"{count}, of which {right} were read without a mistake")
    say("put", f"in {put_s:.1f} s, {count / put_s:.0f} a second")
    say("throughput", f"{count / span:.1f} a second, from the first put to the last result")
    say("latency", f"from put to prediction: {spread(latencies, 's', 2)}")
    say("a prediction", spread(each, "ms", 0))
    say("environments", f"{len(environments)}")
    say("taken again", f"{sum(result['tries'] > 1 for result in results)} messages")
    cost = 0.0
    for name, sums in sorted(stack.bill().items()):
        since = before.get(name, {})
        used = {key: value - since.get(key, 0) for key, value in sums.items()}
        cost += used["cost"]
        amounts = f"{used['requests']} requests, {used['gb_seconds']:.2f} GB-seconds"
        say("bill", f"{name}: {amounts}, ${used['cost']:.6f}")
    say("", f"${1e6 * cost / count:.2f} for a million pictures, at Lambda's prices")


def at(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))]


def moment(text) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()


if __name__ == "__main__":
    main()
