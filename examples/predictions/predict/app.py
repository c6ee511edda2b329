"""Predicts what is written in pictures. Each message names one; each gets exactly one result.

Messages come more than once: after a failure, a timeout, a crash. A result's name is made of the
picture's name and version, and both places take it only once: the bucket by a conditional put, the
table by its key. The object comes first, so the row is made of what is in the bucket.
"""

import base64
import datetime
import functools
import json
import logging
import math
import os
import struct
import time
import uuid
import zipfile
import zlib

import boto3
from botocore.exceptions import ClientError

import table
from ocr import NoPicture, Reader

log = logging.getLogger()
log.setLevel(logging.INFO)

RESULTS = os.environ["RESULTS"]
# What is left of an invocation must be enough for one more picture.
SPARE_MS = 3000
# An archive's member is refused beyond this.
UNPACKED_MAX = 50_000_000
LOCAL_HEADER = struct.Struct("<4s5H3L2H")

# What memory buys one CPU, as in Lambda.
MEGABYTES_PER_CPU = 1769

s3 = boto3.client("s3")
memory = int(os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"])
reader = Reader(os.environ["MODELS"], threads=math.ceil(memory / MEGABYTES_PER_CPU))
results = table.Results(os.environ["DATABASE"])


def handler(event, context):
    if "check" in event:
        return check(event["check"])
    failed = []
    for record in event["Records"]:
        try:
            if context.get_remaining_time_in_millis() < SPARE_MS:
                raise TimeoutError("there is no time left for this picture")
            work(json.loads(record["body"]), record)
        except Exception:
            # This message comes again, the others of the batch do not.
            log.exception("message %s", record["messageId"])
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}


@functools.cache
def environment():
    """A name for where we run, made after the init: copies of a snapshot are not the same."""
    return uuid.uuid4().hex


def check(encoded):
    """Whether everything is in place: the model, and the way to the table. For `deploy.py`."""
    lines = [vars(line) for line in reader.read(base64.b64decode(encoded))]
    return {"lines": lines, "rows": results.count()}


def work(task, record):
    begun = time.perf_counter()
    data = fetch(task)
    try:
        prediction = {"lines": [vars(line) for line in reader.read(data)]}
    except NoPicture as error:
        # Trying again would not make it a picture: this is its result.
        prediction = {"lines": [], "error": str(error)}
    lines = prediction["lines"]
    result = {
        **{name: task[name] for name in ("bucket", "key", "version", "member")},
        "text": "\n".join(line["text"] for line in lines),
        "confidence": min((line["confidence"] for line in lines), default=0.0),
        **prediction,
        "predicted_at": datetime.datetime.now(datetime.timezone.utc).isoformat(),
        "milliseconds": round((time.perf_counter() - begun) * 1000, 1),
        "environment": environment(),
        "tries": int(record["attributes"]["ApproximateReceiveCount"]),
    }
    name = result_name(task)
    results.insert(put_once(name, result), name)
    log.info("%s: %d lines, confidence %.2f", name, len(lines), result["confidence"])


def fetch(task):
    """The picture, of exactly the version that was told of; of an archive only its bytes."""
    if not task["member"]:
        return get(task)
    begin, packed = task["begin"], task["packed"]
    # The member's own header, which may be longer than the archive's directory says, and so the
    # rest comes with it or after it.
    data = get(task, begin, begin + task["header"] + packed)
    fields = LOCAL_HEADER.unpack_from(data)
    header = LOCAL_HEADER.size + fields[9] + fields[10]
    data = data[header : header + packed]
    if len(data) < packed:
        data += get(task, begin + header + len(data), begin + header + packed)
    if task["method"] == zipfile.ZIP_STORED:
        return data
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, UNPACKED_MAX)


def get(task, begin=0, end=None):
    """Bytes of the object, the last before `end`."""
    which = {"VersionId": task["version"]} if task["versioned"] else {"IfMatch": task["version"]}
    span = {"Range": f"bytes={begin}-{end - 1}"} if end else {}
    return s3.get_object(Bucket=task["bucket"], Key=task["key"], **which, **span)["Body"].read()


def result_name(task):
    parts = [task["key"], task["version"].strip('"')]
    return "/".join(parts + [task["member"]] * bool(task["member"])) + ".json"


def put_once(name, result):
    """Stores a result unless there is one; gives the one that is there."""
    body = json.dumps(result, ensure_ascii=False).encode()
    try:
        s3.put_object(
            Bucket=RESULTS, Key=name, Body=body, ContentType="application/json", IfNoneMatch="*"
        )
        return result
    except ClientError as error:
        # 412: it is there. 409: somebody else is just putting it, and has done so or has failed
        # by the time this message comes again.
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 412:
            raise
    log.info("%s has a result already", name)
    return json.load(s3.get_object(Bucket=RESULTS, Key=name)["Body"])
