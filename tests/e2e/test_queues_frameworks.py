"""Queues by what applications put above them: the JavaScript SDK with sqs-consumer and sqs-producer,
and Celery. Their own behaviour is the test."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

from support.queues import counts
from support.server import environment

NODE_CLIENT = pathlib.Path(__file__).parent / "node" / "queues.mjs"

# The application that Celery runs, and that sends its tasks. What a task has done is a line in a file.
TASKS = r'''
import os, time
from celery import Celery

app = Celery("tasks", broker=os.environ["BROKER"])
app.conf.update(
    task_default_queue=os.environ["QUEUE"],
    broker_transport_options={
        "region": "us-east-1",
        "is_secure": False,
        "visibility_timeout": 3,
        "wait_time_seconds": 5,
        "polling_interval": 0.1,
    },
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
)

def tell(*words):
    line = " ".join(map(str, (*words, time.time()))) + "\n"
    with open(os.environ["TOLD"], "a") as file:
        file.write(line)

@app.task
def add(a, b):
    tell("add", a + b)

@app.task(bind=True, max_retries=3)
def stubborn(self):
    tell("stubborn", self.request.retries)
    if self.request.retries < 2:
        raise self.retry(countdown=1)

@app.task
def later(sent):
    tell("later", sent)

@app.task
def hold():
    tell("hold", os.getpid())
    if not os.path.exists(os.environ["TOLD"] + ".killed"):
        time.sleep(60)
    tell("held", os.getpid())
'''

SEND = """
import time, tasks
for number in range(20):
    tasks.add.delay(number, 1)
tasks.stubborn.delay()
tasks.later.apply_async((time.time(),), countdown=2)
"""


def test_javascript(server):
    run = subprocess.run(
        [shutil.which("node"), str(NODE_CLIENT), server.url],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(LAMBENT_TEST_NODE=os.environ["LAMBENT_TEST_NODE"]),
    )
    assert run.returncode == 0, run.stderr
    made = json.loads(run.stdout)
    assert made["sdk"] == {
        "sent": 2,
        "bodies": ["body a", "body b"],
        "bytes": [0, 255],
        "missing": True,
    }
    packages = made["packages"]
    # The one that fails on purpose, and nothing else.
    assert all(error.endswith("as asked") for error in packages.pop("errors")), made
    assert packages == {"handled": 25, "once": True, "tries": 2, "dead": "poison", "left": 0}


class Celery:
    """An application of its own, with workers that end with the test."""

    def __init__(self, server, folder: pathlib.Path, queue: str):
        self.folder = folder
        self.bin = pathlib.Path(os.environ["LAMBENT_TEST_VENV"]) / "bin"
        self.told_path = folder / "told"
        self.workers: list[subprocess.Popen] = []
        (folder / "tasks.py").write_text(TASKS)
        self.environment = environment(
            BROKER=f"sqs://test:test@127.0.0.1:{server.port}",
            QUEUE=queue,
            TOLD=str(self.told_path),
            PYTHONPATH=str(folder),
            AWS_DEFAULT_REGION="us-east-1",
        )

    def start(self) -> subprocess.Popen:
        with open(self.folder / "worker.log", "ab") as log:
            worker = subprocess.Popen(
                [self.bin / "celery", "-A", "tasks", "worker", "--pool", "threads", "-c", "4"],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
            )
        self.workers.append(worker)
        return worker

    def send(self, code: str) -> None:
        run = subprocess.run(
            [self.bin / "python", "-c", code],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            env=self.environment,
        )
        assert run.returncode == 0, run.stderr

    def told(self, word: str) -> list[list[str]]:
        lines = self.told_path.read_text().splitlines() if self.told_path.exists() else []
        return [line.split()[1:] for line in lines if line.split()[0] == word]

    def until_told(self, word: str, count: int, timeout_s=60) -> list[list[str]]:
        deadline = time.monotonic() + timeout_s
        while len(self.told(word)) < count:
            log = (self.folder / "worker.log").read_text()[-5000:]
            assert time.monotonic() < deadline, f"{word}: {self.told(word)}\n{log}"
            time.sleep(0.05)
        return self.told(word)

    def stop(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGTERM)
        for worker in self.workers:
            try:
                worker.wait(20)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait(20)


@pytest.fixture
def celery(server, tmp_path, name):
    app = Celery(server, tmp_path, name)
    yield app
    app.stop()


def test_celery_runs_retries_and_delays_tasks(server, celery, name):
    celery.send(SEND)
    celery.start()
    done = celery.until_told("add", 20)
    assert sorted(int(line[0]) for line in done) == list(range(1, 21))
    tries = celery.until_told("stubborn", 3)
    assert [line[0] for line in tries] == ["0", "1", "2"]
    times = [float(line[1]) for line in tries]
    assert times[1] - times[0] > 0.9 and times[2] - times[1] > 0.9
    [[sent, ran]] = celery.until_told("later", 1)
    assert float(ran) - float(sent) > 1.9
    celery.stop()
    sqs = server.client("sqs")
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    assert counts(sqs, url) == (0, 0, 0)
    sqs.delete_queue(QueueUrl=url)


def test_celery_gets_a_task_again_whose_worker_was_killed(server, celery, name):
    worker = celery.start()
    celery.send("import tasks; tasks.hold.delay()")
    celery.until_told("hold", 1)
    (celery.folder / "told.killed").touch()
    worker.kill()
    worker.wait(20)
    celery.start()
    # Its visibility timeout over, another worker has it.
    [first, second] = celery.until_told("hold", 2)
    assert first[0] != second[0]
    celery.until_told("held", 1)
