"""Objects over the end of the server: what was acknowledged is there, whole, and nothing else is.

Each key has one writer, which records what it was told. When the server is killed, a key has the
state that was last acknowledged, or that of the one operation which was under way.
"""

import hashlib
import os
import random
import threading
import time

from botocore.exceptions import BotoCoreError, ClientError

BUCKET = "crashes"
WRITERS = 8
KEYS_EACH = 4
CRASHES = 5
SIZES = (0, 100, 5_000, 20_000, 300_000, 1_200_000)


class Key:
    """What may be under a key: the digest of a content, or None."""

    def __init__(self, name):
        self.name = name
        self.acknowledged = None
        self.attempted = set()

    def may_be(self):
        return {self.acknowledged} | self.attempted

    def is_now(self, state):
        self.acknowledged, self.attempted = state, set()


def digest(body):
    return hashlib.sha256(body).hexdigest()


class Writer(threading.Thread):
    def __init__(self, server, number, keys, seed):
        super().__init__(daemon=True)
        self.s3 = server.client("s3")
        self.keys = keys
        self.random = random.Random(f"{seed}-{number}")
        self.done = 0
        self.wrong = None

    def run(self):
        try:
            while True:
                self.step(self.random.choice(self.keys))
                self.done += 1
        except (BotoCoreError, ClientError) as error:
            # The server's end, which comes as a broken connection, never as a wrong answer.
            if isinstance(error, ClientError):
                self.wrong = error

    def step(self, key):
        what = self.random.choices(["put", "delete", "parts", "read"], [5, 2, 1, 2])[0]
        if what == "read":
            assert read(self.s3, key) == key.acknowledged
            return
        if what == "delete":
            key.attempted = {None}
            self.s3.delete_object(Bucket=BUCKET, Key=key.name)
            key.is_now(None)
            return
        body = self.random.randbytes(self.random.choice(SIZES))
        key.attempted = {digest(body)}
        if what == "put":
            self.s3.put_object(Bucket=BUCKET, Key=key.name, Body=body)
        else:
            of = {"Bucket": BUCKET, "Key": key.name}
            upload = self.s3.create_multipart_upload(**of)["UploadId"]
            part = self.s3.upload_part(**of, UploadId=upload, PartNumber=1, Body=body)
            parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
            self.s3.complete_multipart_upload(**of, UploadId=upload, MultipartUpload=parts)
        key.is_now(digest(body))


def read(s3, key):
    try:
        return digest(s3.get_object(Bucket=BUCKET, Key=key.name)["Body"].read())
    except ClientError as error:
        assert error.response["Error"]["Code"] == "NoSuchKey"
        return None


def files(server):
    objects = server.data / "objects"
    return [path for path in objects.rglob("*") if path.is_file()]


def test_what_was_acknowledged_is_there_after_kills_at_any_moment(new_server):
    server = new_server().start()
    server.client("s3").create_bucket(Bucket=BUCKET)
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    pause = random.Random(seed)
    keys = [[Key(f"{w}/{k}") for k in range(KEYS_EACH)] for w in range(WRITERS)]
    acknowledged = 0
    for crash in range(CRASHES):
        writers = [Writer(server, f"{crash}-{n}", own, seed) for n, own in enumerate(keys)]
        for writer in writers:
            writer.start()
        # At any moment after some work was done.
        until = acknowledged + pause.randrange(20, 200)
        while acknowledged + sum(writer.done for writer in writers) < until:
            assert any(writer.is_alive() for writer in writers)
            time.sleep(0.005)
        server.kill()
        for writer in writers:
            writer.join(60)
            assert not writer.is_alive() and writer.wrong is None, writer.wrong
        acknowledged += sum(writer.done for writer in writers)
        server.start()
        s3 = server.client("s3")
        listed = s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        listed = {entry["Key"] for entry in listed}
        for key in (key for own in keys for key in own):
            found = read(s3, key)
            assert found in key.may_be(), (seed, crash, key.name)
            assert (key.name in listed) == (found is not None), (seed, crash, key.name)
            key.is_now(found)
    assert acknowledged > 100


def test_what_a_crash_left_is_swept(new_server):
    server = new_server().start()
    s3 = server.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="kept", Body=os.urandom(100_000))
    server.kill()
    (kept,) = files(server)
    # As if a put had ended between its file and its row, long ago.
    name = hashlib.sha256(b"nobody's").hexdigest()
    lost = server.data / "objects" / name[:2] / name[2:4] / name
    lost.parent.mkdir(parents=True, exist_ok=True)
    lost.write_bytes(b"nobody's")
    for path in (kept, lost):
        os.utime(path, (0, 0))
    server.start()
    deadline = time.monotonic() + 30
    while lost.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert kept.exists()
    assert len(server.client("s3").get_object(Bucket=BUCKET, Key="kept")["Body"].read()) == 100_000


def test_on_a_full_disk_puts_are_refused_and_what_is_there_stays(new_server):
    server = new_server().on_a_disk_of("24m").start()
    s3 = server.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    put, refused = {}, None
    for n in range(40):
        body = os.urandom(1_500_000)
        try:
            s3.put_object(Bucket=BUCKET, Key=str(n), Body=body)
            put[str(n)] = digest(body)
        except ClientError as error:
            refused = error.response
            break
    assert refused, "the disk has room for some of them only"
    assert refused["ResponseMetadata"]["HTTPStatusCode"] in (500, 503), refused
    for name, expect in put.items():
        assert read(s3, Key(name)) == expect
    # Deleting makes room again.
    for name in list(put)[:6]:
        s3.delete_object(Bucket=BUCKET, Key=name)
    deadline = time.monotonic() + 60
    while True:
        try:
            s3.put_object(Bucket=BUCKET, Key="again", Body=os.urandom(1_500_000))
            break
        except ClientError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
