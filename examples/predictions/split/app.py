"""Splits what was put into the bucket, and told of by it, into messages: one for each picture.

A picture is one message. A zip archive is a message for each picture in it, with the place of its
bytes, so that who predicts fetches those and not the archive. Doing it twice does no harm: whoever
takes the messages makes one result of all that name the same picture.
"""

import io
import json
import logging
import os
import zipfile
from urllib.parse import unquote_plus

import boto3

log = logging.getLogger()
log.setLevel(logging.INFO)

QUEUE = os.environ["QUEUE"]
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
MESSAGES_AT_ONCE = 10
# What comes before a member's bytes: a header and its name, and extras that are seldom longer.
HEADER_BYTES = 30 + 64

s3 = boto3.client("s3")
sqs = boto3.client("sqs")


def handler(event, context):
    tasks, failed = [], []
    for message in event["Records"]:
        try:
            # What a bucket says when it is told of the queue has no records.
            for record in json.loads(message["body"]).get("Records", []):
                tasks += tasks_of(record)
        except Exception:
            # An archive that is none, or is gone: the others of the batch go on.
            log.exception("message %s", message["messageId"])
            failed.append({"itemIdentifier": message["messageId"]})
    for at in range(0, len(tasks), MESSAGES_AT_ONCE):
        send(tasks[at : at + MESSAGES_AT_ONCE])
    log.info("%d messages", len(tasks))
    return {"batchItemFailures": failed}


def tasks_of(record):
    made = record["s3"]["object"]
    task = {
        "bucket": record["s3"]["bucket"]["name"],
        "key": unquote_plus(made["key"]),
        "version": made.get("versionId") or made["eTag"],
        "versioned": "versionId" in made,
        "member": None,
    }
    if not task["key"].lower().endswith(".zip"):
        return [task]
    return (task | member for member in members(task, made["size"]))


def members(task, size):
    """The pictures in an archive. Nothing but its directory is read."""
    with zipfile.ZipFile(Distant(task, size)) as archive:
        for entry in archive.infolist():
            if entry.filename.lower().endswith(ENDINGS) and entry.compress_type in METHODS:
                yield {
                    "member": entry.filename,
                    "method": entry.compress_type,
                    "begin": entry.header_offset,
                    "header": HEADER_BYTES + len(entry.filename.encode()),
                    "packed": entry.compress_size,
                }


def send(batch):
    entries = [
        {"Id": str(number), "MessageBody": json.dumps(task)} for number, task in enumerate(batch)
    ]
    failed = sqs.send_message_batch(QueueUrl=QUEUE, Entries=entries).get("Failed")
    if failed:
        # The whole batch comes again.
        raise RuntimeError(f"not sent: {failed}")


class Distant(io.RawIOBase):
    """An object in a bucket as a file that is read piece by piece."""

    def __init__(self, task, size):
        which = "VersionId" if task["versioned"] else "IfMatch"
        self.where = {"Bucket": task["bucket"], "Key": task["key"], which: task["version"]}
        self.size = size
        self.at = 0

    def readable(self):
        return True

    def seekable(self):
        return True

    def seek(self, offset, whence=io.SEEK_SET):
        self.at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.size}[whence]
        return self.at

    def tell(self):
        return self.at

    def readinto(self, buffer):
        end = min(self.size, self.at + len(buffer))
        if end <= self.at:
            return 0
        span = f"bytes={self.at}-{end - 1}"
        data = s3.get_object(Range=span, **self.where)["Body"].read()
        buffer[: len(data)] = data
        self.at += len(data)
        return len(data)
