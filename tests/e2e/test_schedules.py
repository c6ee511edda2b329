"""EventBridge Scheduler by boto3 and AWS's command line: what it sends, once and at its time."""

import datetime
import json
import os
import random
import time

import pytest
from botocore.exceptions import ClientError

from support.queues import arn, delete, receive
from support.server import ACCOUNT, REGION
from test_async_invoke import printed
from test_operating import create_database

ROLE = f"arn:aws:iam::{ACCOUNT}:role/scheduler"
OFF = {"Mode": "OFF"}


@pytest.fixture(scope="module")
def sqs(server):
    return server.client("sqs")


@pytest.fixture(scope="module")
def scheduler(server):
    return server.client("scheduler")


@pytest.fixture
def queue(sqs, name):
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    yield url
    sqs.delete_queue(QueueUrl=url)


def at(seconds):
    """The expression for a time from now on."""
    then = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    return f"at({then:%Y-%m-%dT%H:%M:%S})"


def until(what, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_gone(scheduler, schedule):
    try:
        scheduler.get_schedule(Name=schedule)
        return False
    except scheduler.exceptions.ResourceNotFoundException as error:
        assert error.response["Error"]["Message"] == f"Schedule {schedule} does not exist."
        return True


def test_one_point_in_time_sends_once_and_goes(scheduler, sqs, queue, name):
    target = {
        "Arn": arn(sqs, queue),
        "RoleArn": ROLE,
        "Input": json.dumps(
            {
                "schedule": "<aws.scheduler.schedule-arn>",
                "time": "<aws.scheduler.scheduled-time>",
                "execution": "<aws.scheduler.execution-id>",
                "attempt": "<aws.scheduler.attempt-number>",
            }
        ),
    }
    expression = at(2)
    made = scheduler.create_schedule(
        Name=name,
        ScheduleExpression=expression,
        FlexibleTimeWindow=OFF,
        Target=target,
        ActionAfterCompletion="DELETE",
    )
    assert made["ScheduleArn"] == f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/default/{name}"
    messages = receive(sqs, queue)
    body = json.loads(messages[0]["Body"])
    assert body["schedule"] == made["ScheduleArn"]
    assert body["time"] == expression[3:-1] + "Z"
    assert body["execution"] and body["attempt"] == "1"
    delete(sqs, queue, messages)
    until(lambda: is_gone(scheduler, name))


def test_a_rate_begins_at_once_with_a_function(server, scheduler, make_function, name):
    code = "import json\ndef handler(event, context):\n    print('EVENT ' + json.dumps(event))\n"
    function = make_function(code)
    scheduler.create_schedule(
        Name=name,
        ScheduleExpression="rate(1 day)",
        FlexibleTimeWindow=OFF,
        Target={
            "Arn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}",
            "RoleArn": ROLE,
        },
    )
    until(lambda: printed(server, function, "EVENT"))
    [event] = printed(server, function, "EVENT")
    assert (event["source"], event["detail-type"]) == ("aws.scheduler", "Scheduled Event")
    assert event["resources"] == [f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/default/{name}"]
    scheduler.delete_schedule(Name=name)


def test_what_cannot_be_sent_is_a_dead_letter(scheduler, sqs, queue, name):
    nowhere = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}-nowhere"
    scheduler.create_schedule(
        Name=name,
        ScheduleExpression=at(0),
        FlexibleTimeWindow=OFF,
        Target={
            "Arn": nowhere,
            "RoleArn": ROLE,
            "Input": "lost",
            "DeadLetterConfig": {"Arn": arn(sqs, queue)},
            "RetryPolicy": {"MaximumRetryAttempts": 0},
        },
    )
    [letter] = receive(sqs, queue, wait_s=20)
    assert letter["Body"] == "lost"
    attributes = {name: it["StringValue"] for name, it in letter["MessageAttributes"].items()}
    assert attributes["TARGET_ARN"] == nowhere
    assert attributes["SCHEDULE_ARN"].endswith(f":schedule/default/{name}")
    assert attributes["RETRY_ATTEMPTS"] == "0"
    assert attributes["IS_PAYLOAD_TRUNCATED"] == "false"
    scheduler.delete_schedule(Name=name)


def test_an_operation_is_called_as_a_universal_target(scheduler, sqs, queue, name):
    made = f"{name}-made"
    scheduler.create_schedule(
        Name=name,
        ScheduleExpression="rate(1 day)",
        FlexibleTimeWindow=OFF,
        Target={
            "Arn": "arn:aws:scheduler:::aws-sdk:sqs:createQueue",
            "RoleArn": ROLE,
            "Input": json.dumps({"QueueName": made, "Attributes": {"DelaySeconds": "7"}}),
        },
    )
    until(lambda: sqs.list_queues(QueueNamePrefix=made).get("QueueUrls"))
    url = sqs.get_queue_url(QueueName=made)["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["DelaySeconds"])
    assert attributes["Attributes"]["DelaySeconds"] == "7"
    sqs.delete_queue(QueueUrl=url)
    refused = {
        "Arn": "arn:aws:scheduler:::aws-sdk:sqs:explode",
        "RoleArn": ROLE,
        "Input": "{}",
        "DeadLetterConfig": {"Arn": arn(sqs, queue)},
    }
    update = {"Name": name, "ScheduleExpression": "rate(2 days)", "FlexibleTimeWindow": OFF}
    with pytest.raises(ClientError, match="has no operation explode"):
        scheduler.update_schedule(Target=refused, **update)
    refused["Arn"] = "arn:aws:scheduler:::aws-sdk:sqs:deleteQueue"
    refused["Input"] = json.dumps({"QueueUrl": url})
    scheduler.update_schedule(Target=refused, **update)
    [letter] = receive(sqs, queue, wait_s=20)
    code = letter["MessageAttributes"]["ERROR_CODE"]["StringValue"]
    assert code == "QueueDoesNotExist"
    scheduler.delete_schedule(Name=name)


def test_groups_lists_and_refusals_by_the_command_line(server, name):
    def aws(*arguments):
        run = server.aws("scheduler", *arguments, "--endpoint-url", server.url)
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout) if run.stdout.strip() else None

    made = aws("create-schedule-group", "--name", name, "--tags", "Key=team,Value=a")
    group = made["ScheduleGroupArn"]
    target = json.dumps({"Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:q", "RoleArn": ROLE})
    for number in range(5):
        aws(
            "create-schedule", "--name", f"{name}-{number}", "--group-name", name,
            "--schedule-expression", "cron(0 9 ? * MON-FRI *)",
            "--schedule-expression-timezone", "Europe/Berlin",
            "--flexible-time-window", "Mode=FLEXIBLE,MaximumWindowInMinutes=15",
            "--target", target,
        )  # fmt: skip
    listed = aws("list-schedules", "--group-name", name, "--page-size", "2")["Schedules"]
    assert [it["Name"] for it in listed] == [f"{name}-{number}" for number in range(5)]
    shown = aws("get-schedule", "--name", f"{name}-0", "--group-name", name)
    assert shown["ScheduleExpressionTimezone"] == "Europe/Berlin"
    assert shown["FlexibleTimeWindow"] == {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15}
    assert aws("list-tags-for-resource", "--resource-arn", group)["Tags"] == [
        {"Key": "team", "Value": "a"}
    ]
    refused = server.aws(
        "scheduler", "create-schedule", "--name", name, "--schedule-expression", "rate(5 weeks)",
        "--flexible-time-window", "Mode=OFF", "--target", target, "--endpoint-url", server.url,
    )  # fmt: skip
    assert refused.returncode != 0
    assert "Invalid Schedule Expression rate(5 weeks)." in refused.stderr
    aws("delete-schedule-group", "--name", name)
    client = server.client("scheduler")
    with pytest.raises(ClientError, match="does not exist"):
        client.get_schedule(Name=f"{name}-0", GroupName=name)


class TestCrashes:
    """The server is killed again and again while schedules fall due: each sends exactly once."""

    SCHEDULES = 60
    SECONDS = 12

    def check(self, server, seed):
        chance = random.Random(seed)
        server.start()
        sqs, scheduler = server.client("sqs"), server.client("scheduler")
        url = sqs.create_queue(QueueName="q")["QueueUrl"]
        for number in range(self.SCHEDULES):
            scheduler.create_schedule(
                Name=f"s{number}",
                ScheduleExpression=at(2 + chance.randrange(self.SECONDS)),
                FlexibleTimeWindow=OFF,
                Target={"Arn": arn(sqs, url), "RoleArn": ROLE, "Input": str(number)},
                ActionAfterCompletion=chance.choice(["NONE", "DELETE"]),
            )
        ends = time.monotonic() + self.SECONDS + 4
        kills = 0
        while time.monotonic() < ends:
            time.sleep(chance.uniform(0.2, 1.5))
            server.kill()
            server.start()
            kills += 1
        sqs, scheduler = server.client("sqs"), server.client("scheduler")
        messages = receive(sqs, url, count=self.SCHEDULES)
        assert sorted(int(it["Body"]) for it in messages) == list(range(self.SCHEDULES))
        assert len({it["MessageId"] for it in messages}) == self.SCHEDULES
        assert "Messages" not in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=2)
        left = scheduler.list_schedules()["Schedules"]
        kept = [it["Name"] for it in left if it["State"] == "ENABLED"]
        for schedule in kept:
            shown = scheduler.get_schedule(Name=schedule)
            assert shown["ActionAfterCompletion"] == "NONE"
        assert kills > 3
        assert server.stop() == 0

    def test_on_sqlite(self, new_server):
        self.check(new_server(), seed=1)

    def test_on_postgres(self, new_server):
        url = os.environ["LAMBENT_TEST_POSTGRES"]
        database = f"lambent_schedules_{os.getpid()}"
        create_database(url, database)
        self.check(new_server("--store", url.rsplit("/", 1)[0] + "/" + database), seed=2)
