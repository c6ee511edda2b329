"""CloudWatch Logs by boto3 and AWS's own command line: what is put, what functions say, filters,
queries, subscriptions, and that nothing acknowledged is lost in a crash."""

import base64
import gzip
import json
import random
import threading
import time

import pytest
from botocore.exceptions import ClientError

from conftest import function_factory
from support.package import ECHO
from support.server import ACCOUNT, REGION


@pytest.fixture(scope="module")
def logs(server):
    return server.client("logs", inject_host_prefix=False)


@pytest.fixture
def group(logs, name):
    logs.create_log_group(logGroupName=name)
    logs.create_log_stream(logGroupName=name, logStreamName="s")
    yield name
    logs.delete_log_group(logGroupName=name)


def now_ms():
    return int(time.time() * 1000)


def put(logs, group, *messages, stream="s", at=None):
    at = now_ms() if at is None else at
    events = [{"timestamp": at + index, "message": text} for index, text in enumerate(messages)]
    return logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def filtered(logs, group, **options):
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group, **options)
    return [event["message"] for page in pages for event in page["events"]]


def until(look, timeout_s=30):
    deadline = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)
    return found


def refusal(call, **arguments):
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    return refused.value.response["Error"]


class TestEvents:
    def test_pages_of_a_stream_lead_both_ways(self, logs, group):
        put(logs, group, *[f"m{number}" for number in range(25)])
        ask = {"logGroupName": group, "logStreamName": "s", "limit": 10}
        texts = lambda page: [event["message"] for event in page["events"]]  # noqa: E731
        last = logs.get_log_events(**ask)
        assert texts(last) == [f"m{number}" for number in range(15, 25)]
        before = logs.get_log_events(**ask, nextToken=last["nextBackwardToken"])
        assert texts(before) == [f"m{number}" for number in range(5, 15)]
        again = logs.get_log_events(**ask, nextToken=before["nextForwardToken"])
        assert texts(again) == texts(last)
        end = logs.get_log_events(**ask, nextToken=last["nextForwardToken"])
        assert end["events"] == []
        assert end["nextForwardToken"] == last["nextForwardToken"]
        put(logs, group, "later", at=now_ms() + 1000)
        more = logs.get_log_events(**ask, nextToken=end["nextForwardToken"])
        assert texts(more) == ["later"]
        first = logs.get_log_events(**ask, startFromHead=True)
        assert texts(first) == [f"m{number}" for number in range(10)]

    def test_filters_find_events_in_the_order_of_their_times(self, logs, group):
        at = now_ms()
        logs.create_log_stream(logGroupName=group, logStreamName="t")
        put(logs, group, "ERROR one", "fine", at=at + 100)
        put(logs, group, "ERROR two", '{"level": "ERROR", "ms": 12}', stream="t", at=at)
        paged = {"PaginationConfig": {"PageSize": 1}}
        assert filtered(logs, group, filterPattern="ERROR", **paged) == [
            "ERROR two", '{"level": "ERROR", "ms": 12}', "ERROR one",
        ]  # fmt: skip
        assert filtered(logs, group, filterPattern="{ $.ms > 10 }") == ['{"level": "ERROR", "ms": 12}']
        assert filtered(logs, group, logStreamNamePrefix="t", filterPattern="-level") == ["ERROR two"]
        assert filtered(logs, group, startTime=at + 101) == ["fine"]
        wrong = refusal(logs.filter_log_events, logGroupName=group, filterPattern="{ $.a }")
        assert wrong["Code"] == "InvalidParameterException"

    def test_events_of_another_time_are_told_apart(self, logs, group):
        day = 24 * 3600 * 1000
        answer = put(logs, group, "old", at=now_ms() - 15 * day)
        assert answer["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}
        answer = put(logs, group, "new", at=now_ms() + day)
        assert answer["rejectedLogEventsInfo"] == {"tooNewLogEventStartIndex": 0}
        logs.put_retention_policy(logGroupName=group, retentionInDays=3)
        answer = put(logs, group, "expired", at=now_ms() - 4 * day)
        assert answer["rejectedLogEventsInfo"] == {"expiredLogEventEndIndex": 1}
        assert filtered(logs, group) == []
        events = [{"timestamp": now_ms() - index, "message": "x"} for index in range(2)]
        wrong = refusal(logs.put_log_events, logGroupName=group, logStreamName="s", logEvents=events)
        assert "chronological" in wrong["Message"]

    def test_a_stream_that_is_made_again_is_empty(self, logs, group):
        put(logs, group, "before")
        logs.delete_log_stream(logGroupName=group, logStreamName="s")
        wrong = refusal(
            logs.put_log_events, logGroupName=group, logStreamName="s",
            logEvents=[{"timestamp": now_ms(), "message": "m"}],
        )  # fmt: skip
        assert wrong["Message"] == "The specified log stream does not exist."
        logs.create_log_stream(logGroupName=group, logStreamName="s")
        [stream] = logs.describe_log_streams(logGroupName=group)["logStreams"]
        assert "firstEventTimestamp" not in stream
        put(logs, group, "after", at=1000 + now_ms())
        assert filtered(logs, group) == ["after"]

    def test_keys_of_kms_are_refused(self, logs, group):
        wrong = refusal(logs.associate_kms_key, logGroupName=group, kmsKeyId="arn:aws:kms:x:1:key/k")
        assert "does not support" in wrong["Message"]


class TestFunctions:
    def test_what_a_function_says_is_a_log_like_any_other(self, logs, make_function, invoke):
        function = make_function("def handler(event, context):\n    print('said', event)\n")
        invoke(function, {"n": 1})
        group = f"/aws/lambda/{function}"
        [found] = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
        assert found["logGroupName"] == group and "retentionInDays" not in found
        messages = until(lambda: filtered(logs, group, filterPattern="REPORT") and filtered(logs, group))
        assert "said {'n': 1}\n" in messages
        kinds = ["INIT_START", "START", "said", "END", "REPORT"]
        assert [message.split()[0] for message in messages] == kinds
        [stream] = logs.describe_log_streams(logGroupName=group, orderBy="LastEventTime")["logStreams"]
        assert "[$LATEST]" in stream["logStreamName"]
        assert stream["firstEventTimestamp"] <= stream["lastEventTimestamp"]

    def test_a_group_outlives_its_function(self, client, logs, make_function, invoke):
        function = make_function(ECHO)
        invoke(function)
        client.delete_function(FunctionName=function)
        group = f"/aws/lambda/{function}"
        assert until(lambda: filtered(logs, group, filterPattern="REPORT"))
        logs.delete_log_group(logGroupName=group)
        assert logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"] == []

    def test_a_deleted_group_comes_back_when_its_function_speaks(self, logs, make_function, invoke):
        function = make_function("def handler(event, context):\n    print('said', event)\n")
        group = f"/aws/lambda/{function}"
        invoke(function, 1)
        until(lambda: filtered(logs, group, filterPattern="REPORT"))
        logs.delete_log_group(logGroupName=group)
        invoke(function, 2)

        def back():
            found = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
            return found and filtered(logs, group, filterPattern="said")

        assert until(back) == ["said 2\n"]


SINK = """
import base64, gzip, json
def handler(event, context):
    data = json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"])))
    print("GOT", json.dumps(data))
"""


class TestFilters:
    def test_a_pattern_is_tested(self, logs):
        found = logs.test_metric_filter(
            filterPattern="[ip, ..., size > 1000]",
            logEventMessages=["1.2.3.4 a 2000", "1.2.3.4 a 20"],
        )["matches"]
        assert [match["eventNumber"] for match in found] == [1]
        values = {"$ip": "1.2.3.4", "$2": "a", "$size": "2000"}
        assert found[0]["extractedValues"] == values

    def test_a_metric_filter_measures(self, server, logs, group):
        transformation = {"metricName": "ms", "metricNamespace": group, "metricValue": "$.ms"}
        logs.put_metric_filter(
            logGroupName=group, filterName="f", filterPattern="{ $.ms > 5 }",
            metricTransformations=[transformation | {"unit": "Milliseconds"}],
        )  # fmt: skip
        put(logs, group, *[json.dumps({"ms": number}) for number in range(10)])
        metrics = server.client("cloudwatch")
        now = time.time()
        ask = {"Namespace": group, "MetricName": "ms", "Period": 3600, "Statistics": ["Sum"]}
        sums = lambda: metrics.get_metric_statistics(  # noqa: E731
            **ask, StartTime=now - 7200, EndTime=now + 7200
        )["Datapoints"]
        assert [(point["Sum"], point["Unit"]) for point in until(sums)] == [(30.0, "Milliseconds")]

    def test_a_function_is_told_of_what_it_subscribed_to(self, client, logs, group, make_function):
        sink = make_function(SINK)
        arn = client.get_function(FunctionName=sink)["Configuration"]["FunctionArn"]
        subscribe = lambda: logs.put_subscription_filter(  # noqa: E731
            logGroupName=group, filterName="errors", filterPattern="ERROR", destinationArn=arn
        )
        assert "Could not execute the lambda function" in refusal(subscribe)["Message"]
        client.add_permission(
            FunctionName=sink, StatementId="logs", Action="lambda:InvokeFunction",
            Principal=f"logs.{REGION}.amazonaws.com", SourceAccount=ACCOUNT,
            SourceArn=f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}:*",
        )  # fmt: skip
        subscribe()
        put(logs, group, "ERROR one", "fine", "ERROR two")
        said = lambda: filtered(logs, f"/aws/lambda/{sink}", filterPattern="GOT")  # noqa: E731

        def told():
            try:
                return said()
            except logs.exceptions.ResourceNotFoundException:
                return None

        [line] = until(told)
        data = json.loads(line.removeprefix("GOT "))
        assert data["messageType"] == "DATA_MESSAGE"
        assert (data["owner"], data["logGroup"], data["logStream"]) == (ACCOUNT, group, "s")
        assert data["subscriptionFilters"] == ["errors"]
        assert [event["message"] for event in data["logEvents"]] == ["ERROR one", "ERROR two"]

    def test_a_function_is_not_told_of_its_own_log(self, client, logs, make_function, invoke):
        function = make_function(ECHO)
        invoke(function)
        arn = client.get_function(FunctionName=function)["Configuration"]["FunctionArn"]
        wrong = refusal(
            logs.put_subscription_filter, logGroupName=f"/aws/lambda/{function}",
            filterName="f", filterPattern="", destinationArn=arn,
        )  # fmt: skip
        assert wrong["Code"] == "InvalidParameterException"

    def test_destinations_that_are_not_here_are_refused(self, logs, group):
        wrong = refusal(
            logs.put_subscription_filter, logGroupName=group, filterName="f", filterPattern="",
            destinationArn=f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/s",
        )  # fmt: skip
        assert "kinesis" in wrong["Message"]


class TestQueries:
    def ask(self, logs, group, query):
        now = int(time.time())
        started = logs.start_query(
            logGroupName=group, startTime=now - 3600, endTime=now + 3600, queryString=query
        )
        results = lambda: logs.get_query_results(queryId=started["queryId"])  # noqa: E731
        answer = until(lambda: (found := results())["status"] == "Complete" and found)
        return [{field["field"]: field["value"] for field in row} for row in answer["results"]]

    def test_statistics_of_json(self, logs, group):
        put(logs, group, *[json.dumps({"path": f"/{n % 2}", "ms": n}) for n in range(10)])
        rows = self.ask(logs, group, "stats count(*) as n, max(ms) by path | sort path")
        assert rows == [
            {"path": "/0", "n": "5", "max(ms)": "8"},
            {"path": "/1", "n": "5", "max(ms)": "9"},
        ]
        [row] = self.ask(logs, group, "fields ms | filter ms = 7")
        record = logs.get_log_record(logRecordPointer=row["@ptr"])["logRecord"]
        assert record["ms"] == "7" and record["@logStream"] == "s"

    def test_reports_of_functions_have_fields(self, logs, make_function, invoke):
        function = make_function(ECHO)
        invoke(function)
        query = "filter @type = 'REPORT' | display @requestId, @memorySize / 1000000 as mb, @duration"
        group = f"/aws/lambda/{function}"
        until(lambda: filtered(logs, group, filterPattern="REPORT"))
        [row] = self.ask(logs, group, query)
        assert row["mb"] == "128" and float(row["@duration"]) > 0

    def test_what_is_no_query_says_where(self, logs, group):
        with pytest.raises(logs.exceptions.MalformedQueryException) as refused:
            self.ask(logs, group, "fields @message | nonsense")
        location = refused.value.response["queryCompileError"]["location"]
        assert location == {"startCharOffset": 18, "endCharOffset": 26}


class TestLive:
    def test_a_live_tail_has_events_as_they_come(self, logs, group):
        put(logs, group, "before")
        arn = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}"
        answer = logs.start_live_tail(
            logGroupIdentifiers=[arn], logEventFilterPattern="ERROR"
        )["responseStream"]
        events = iter(answer)
        assert next(events)["sessionStart"]["logGroupIdentifiers"] == [arn]
        put(logs, group, "fine", "ERROR now")
        found = []
        while not found:
            found = next(events)["sessionUpdate"]["sessionResults"]
        answer.close()
        assert [(event["message"], event["logStreamName"]) for event in found] == [("ERROR now", "s")]

    def test_who_asks_again_and_again_hears_every_event_once(self, logs, group):
        """As `aws logs tail --follow` does: from the time of the last event on, by the ids of those it
        has had."""
        seen, messages, start = set(), [], now_ms() - 1000

        def follow():
            nonlocal start
            pages = logs.get_paginator("filter_log_events").paginate(
                logGroupName=group, startTime=start, interleaved=True, PaginationConfig={"PageSize": 2}
            )
            for event in (event for page in pages for event in page["events"]):
                if event["eventId"] not in seen:
                    seen.add(event["eventId"])
                    messages.append(event["message"])
                    start = max(start, event["timestamp"])

        at = now_ms()
        for number in range(5):
            put(logs, group, f"{number}a", f"{number}b", f"{number}c", at=at + 10 * number)
            follow()
        assert sorted(messages) == [f"{number}{part}" for number in range(5) for part in "abc"]

    def test_by_the_command_line(self, server, group):
        def aws(*arguments):
            run = server.aws("logs", *arguments)
            assert run.returncode == 0, run.stderr
            return json.loads(run.stdout) if run.stdout.strip() else None

        events = f"timestamp={now_ms()},message=hello"
        named = ["--log-group-name", group, "--log-stream-name", "s"]
        aws("put-log-events", *named, "--log-events", events)
        assert aws("get-log-events", *named)["events"][0]["message"] == "hello"
        found = aws("filter-log-events", "--log-group-name", group, "--filter-pattern", "hello")
        assert [event["message"] for event in found["events"]] == ["hello"]


def test_what_was_acknowledged_is_there_after_a_crash(new_server):
    server = new_server().start()
    logs = server.client("logs")
    logs.create_log_group(logGroupName="g", tags={"a": "b"})
    for number in range(4):
        logs.create_log_stream(logGroupName="g", logStreamName=f"s{number}")
    acknowledged = []
    lock = threading.Lock()

    def work(stream):
        own = server.client("logs")
        for number in range(10_000):
            message = f"{stream}-{number} {'x' * 200}"
            try:
                put(own, "g", message, stream=stream)
            except Exception:
                return
            with lock:
                acknowledged.append(message)

    threads = [threading.Thread(target=work, args=(f"s{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: len(acknowledged) > 200)
    server.kill()
    for thread in threads:
        thread.join()
    server.start()
    logs = server.client("logs")
    found = filtered(logs, "g")
    assert len(found) == len(set(found)), "nothing comes twice"
    assert set(acknowledged) <= set(found)
    assert logs.list_tags_log_group(logGroupName="g")["tags"] == {"a": "b"}
    assert len(logs.describe_log_streams(logGroupName="g")["logStreams"]) == 4
    put(logs, "g", "after", stream="s0")
    assert "after" in filtered(logs, "g")
    assert server.stop() == 0


def test_subscribers_are_told_after_a_crash(new_server):
    server = new_server().start()
    logs, client, sqs = server.client("logs"), server.client(), server.client("sqs")
    makers = function_factory(client, "sink")
    sink = next(makers)(SINK)
    arn = client.get_function(FunctionName=sink)["Configuration"]["FunctionArn"]
    client.add_permission(
        FunctionName=sink, StatementId="logs", Action="lambda:InvokeFunction",
        Principal="logs.amazonaws.com",
    )  # fmt: skip
    # What the function was given is read from a queue: its own last lines may go with the process.
    sqs.create_queue(QueueName="told")
    to_queue = {"OnSuccess": {"Destination": f"arn:aws:sqs:{REGION}:{ACCOUNT}:told"}}
    client.put_function_event_invoke_config(FunctionName=sink, DestinationConfig=to_queue)
    logs.create_log_group(logGroupName="g")
    logs.create_log_stream(logGroupName="g", logStreamName="s")
    logs.put_subscription_filter(
        logGroupName="g", filterName="all", filterPattern="", destinationArn=arn
    )
    for number in range(20):
        put(logs, "g", f"event {number}", at=now_ms() + number)
    server.kill()
    server.start()
    sqs, found = server.client("sqs"), set()
    url = sqs.get_queue_url(QueueName="told")["QueueUrl"]

    def told():
        got = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=5)
        for message in got.get("Messages", []):
            data = json.loads(message["Body"])["requestPayload"]["awslogs"]["data"]
            events = json.loads(gzip.decompress(base64.b64decode(data)))["logEvents"]
            found.update(event["message"] for event in events)
        return found == {f"event {number}" for number in range(20)}

    until(told)
    assert server.stop() == 0


def test_a_full_disk_refuses_events_and_ends_nothing(new_server):
    server = new_server().on_a_disk_of("64m").start()
    logs = server.client("logs")
    for group in ("small", "large"):
        logs.create_log_group(logGroupName=group)
        logs.create_log_stream(logGroupName=group, logStreamName="s")
    kept = []

    def fill():
        for number in range(1000):
            message = f"{number} " + random.randbytes(300_000).hex()
            put(logs, "large", message)
            kept.append(number)

    with pytest.raises(logs.exceptions.ServiceUnavailableException, match="disk is full"):
        fill()
    found = filtered(logs, "large", filterPattern=f'"{kept[-1]} "')
    assert any(message.startswith(f"{kept[-1]} ") for message in found)
    logs.delete_log_group(logGroupName="large")
    until(lambda: put_or_none(logs, "small", "after"))
    assert "after" in filtered(logs, "small")
    assert server.stop() == 0


def put_or_none(logs, group, message):
    try:
        return put(logs, group, message)
    except logs.exceptions.ServiceUnavailableException:
        return None
