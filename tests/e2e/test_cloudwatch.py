"""CloudWatch: metrics of clients, functions and logs, and alarms that act, by boto3 and AWS's CLI."""

import datetime
import json

import pytest
from botocore.exceptions import ClientError

from conftest import function_factory
from test_async_invoke import make_queue, received, sqs, until  # noqa: F401

# Fails where it is told to, and says a metric in its log.
WORKER = """
import json

def handler(event, context):
    if event.get("fail"):
        raise ValueError("told to")
    if "orders" in event:
        print(json.dumps({
            "_aws": {"CloudWatchMetrics": [{
                "Namespace": event["namespace"],
                "Dimensions": [["Service"]],
                "Metrics": [{"Name": "Orders", "Unit": "Count"}],
            }]},
            "Service": "cart",
            "Orders": event["orders"],
        }))
    return "done"
"""


def around_now(minutes=5):
    now = datetime.datetime.now(datetime.UTC)
    span = datetime.timedelta(minutes=minutes)
    return {"StartTime": now - span, "EndTime": now + span}


def query(namespace, name, stat, period=60, id="m1", **dimensions):
    return {
        "Id": id,
        "MetricStat": {
            "Metric": {
                "Namespace": namespace,
                "MetricName": name,
                "Dimensions": [{"Name": n, "Value": v} for n, v in dimensions.items()],
            },
            "Period": period,
            "Stat": stat,
        },
    }


def values(cloudwatch, *queries, **options):
    answer = cloudwatch.get_metric_data(MetricDataQueries=list(queries), **around_now(), **options)
    return [result["Values"] for result in answer["MetricDataResults"]]


def total(cloudwatch, *asked, **dimensions):
    # They may have come in two minutes.
    return sum(values(cloudwatch, query(*asked, **dimensions))[0])


@pytest.fixture
def cloudwatch(server):
    return server.client("cloudwatch")


class TestMetrics:
    def test_what_is_put_is_found_by_statistic_and_expression(self, cloudwatch, name):
        now = datetime.datetime.now(datetime.UTC)
        data = [
            {"MetricName": "time", "Timestamp": now, "Values": [10.0, 20.0], "Counts": [3.0, 1.0]},
            {"MetricName": "size", "Timestamp": now, "Value": 8.0, "Unit": "Bytes"},
        ]
        cloudwatch.put_metric_data(Namespace=name, MetricData=data)
        found = values(
            cloudwatch,
            query(name, "time", "Average", id="average"),
            query(name, "time", "p75", id="most"),
            query(name, "time", "SampleCount", id="count"),
            query(name, "size", "Sum", id="size"),
            {"Id": "both", "Expression": "size / count + FILL(METRICS('size'), 0)"},
        )
        assert found == [[12.5], [10.0], [4.0], [8.0], [10.0]]
        listed = cloudwatch.list_metrics(Namespace=name)["Metrics"]
        assert [metric["MetricName"] for metric in listed] == ["size", "time"]

    def test_a_large_request_comes_compressed(self, server, name):
        """SDKs compress from 10 KB on, in each of the protocols that this one speaks."""
        cloudwatch = server.client("cloudwatch", request_min_compression_size_bytes=128)
        sent = []
        encoding = lambda request, **_: sent.append(request.headers.get("Content-Encoding"))
        cloudwatch.meta.events.register("before-send.cloudwatch.PutMetricData", encoding)
        data = [{"MetricName": "n", "Values": [float(n) for n in range(150)]} for _ in range(40)]
        cloudwatch.put_metric_data(Namespace=name, MetricData=data)
        assert sent in ([b"gzip"], ["gzip"])
        assert total(cloudwatch, name, "n", "SampleCount") == 6000

    def test_what_was_put_outlasts_a_crash(self, new_server):
        server = new_server().start()
        cloudwatch = server.client("cloudwatch")
        cloudwatch.put_metric_data(Namespace="kept", MetricData=[{"MetricName": "n", "Value": 4.0}])
        server.kill()
        server.start()
        assert total(server.client("cloudwatch"), "kept", "n", "Sum") == 4

    def test_by_awss_own_command(self, server, name):
        put = server.aws(
            "cloudwatch", "put-metric-data", "--namespace", name, "--metric-name", "load",
            "--value", "7.5", "--unit", "Percent", "--dimensions", "Host=one",
        )
        assert put.returncode == 0, put.stderr
        span = {name: at.isoformat() for name, at in around_now().items()}
        got = server.aws(
            "cloudwatch", "get-metric-statistics", "--namespace", name, "--metric-name", "load",
            "--dimensions", "Name=Host,Value=one", "--statistics", "Maximum", "--period", "60",
            "--start-time", span["StartTime"], "--end-time", span["EndTime"], "--output", "json",
        )
        assert got.returncode == 0, got.stderr
        [point] = json.loads(got.stdout)["Datapoints"]
        assert (point["Maximum"], point["Unit"]) == (7.5, "Percent")

    def test_what_is_not_there_is_refused_by_name(self, cloudwatch):
        with pytest.raises(ClientError) as refused:
            cloudwatch.put_anomaly_detector(
                SingleMetricAnomalyDetector={"Namespace": "n", "MetricName": "m", "Stat": "Sum"}
            )
        error = refused.value.response
        assert error["ResponseMetadata"]["HTTPStatusCode"] == 501
        assert "PutAnomalyDetector is not implemented" in error["Error"]["Message"]


class TestFunctions:
    def test_a_functions_requests_are_its_metrics(self, new_server):
        """What was counted is put at the latest when the server ends."""
        server = new_server().start()
        client = server.client()
        function = next(function_factory(client, "worker"))(WORKER)
        for payload in (b"{}", b'{"fail": 1}', b"{}"):
            client.invoke(FunctionName=function, Payload=payload)
        assert server.stop() == 0
        server.start()
        cloudwatch = server.client("cloudwatch")
        of = lambda metric, stat, **more: total(cloudwatch, "AWS/Lambda", metric, stat, **more)
        assert of("Invocations", "Sum", FunctionName=function) == 3
        assert of("Errors", "Sum", FunctionName=function) == 1
        assert of("Errors", "SampleCount", FunctionName=function, Resource=function) == 3
        assert of("Throttles", "Sum") == 0
        assert of("Duration", "Maximum", FunctionName=function) > 0
        assert of("ConcurrentExecutions", "Maximum", FunctionName=function) >= 1

    def test_a_metric_in_a_line_of_the_log(self, invoke, make_function, cloudwatch, name):
        function = make_function(WORKER)
        for orders in (2, 3):
            invoke(function, {"namespace": name, "orders": orders})
        found = lambda: total(cloudwatch, name, "Orders", "Sum", Service="cart")
        assert until(lambda: found() == 5)


class TestAlarms:
    def test_an_alarm_invokes_a_function(
        self, client, sqs, cloudwatch, make_function, make_queue, name  # noqa: F811
    ):
        """By its metric, whose data do not come; and again by hand."""
        url, queue = make_queue()
        function = make_function("def handler(event, context):\n    return 'told'\n")
        client.put_function_event_invoke_config(
            FunctionName=function,
            DestinationConfig={"OnSuccess": {"Destination": queue}},
        )
        function_arn = client.get_function(FunctionName=function)["Configuration"]["FunctionArn"]
        client.add_permission(
            FunctionName=function,
            StatementId="alarms",
            Action="lambda:InvokeFunction",
            Principal="lambda.alarms.cloudwatch.amazonaws.com",
        )
        cloudwatch.put_metric_alarm(
            AlarmName=name,
            Namespace=name,
            MetricName="heartbeat",
            Statistic="Sum",
            Period=10,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="LessThanThreshold",
            TreatMissingData="breaching",
            AlarmActions=[function_arn],
            OKActions=[function_arn],
        )

        def told():
            # The record of the run has the event that it was of.
            return json.loads(received(sqs, url)["Body"])["requestPayload"]

        event = told()
        assert event["source"] == "aws.cloudwatch"
        assert event["alarmData"]["alarmName"] == name
        assert event["alarmData"]["state"]["value"] == "ALARM"
        assert event["alarmData"]["previousState"]["value"] == "INSUFFICIENT_DATA"
        cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="by hand")
        assert told()["alarmData"]["state"]["reason"] == "by hand"
        history = cloudwatch.describe_alarm_history(AlarmName=name, HistoryItemType="StateUpdate")
        summaries = [item["HistorySummary"] for item in history["AlarmHistoryItems"]]
        assert summaries[-2:] == [
            "Alarm updated from ALARM to OK",
            "Alarm updated from INSUFFICIENT_DATA to ALARM",
        ]
        cloudwatch.delete_alarms(AlarmNames=[name])
        assert cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"] == []

    def test_composite_alarms_by_awss_own_command(self, server, cloudwatch, name):
        cloudwatch.put_metric_alarm(
            AlarmName=name, Namespace="n", MetricName="m", Statistic="Sum", Period=60,
            EvaluationPeriods=1, Threshold=1, ComparisonOperator="GreaterThanThreshold",
            TreatMissingData="ignore",
        )
        whole = f"{name}-whole"
        put = server.aws(
            "cloudwatch", "put-composite-alarm", "--alarm-name", whole,
            "--alarm-rule", f"ALARM({name})",
        )
        assert put.returncode == 0, put.stderr
        state = lambda: cloudwatch.describe_alarms(
            AlarmNames=[whole], AlarmTypes=["CompositeAlarm"]
        )["CompositeAlarms"][0]["StateValue"]
        assert state() == "OK"
        cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="by hand")
        assert state() == "ALARM"
        with pytest.raises(ClientError, match="depending on it"):
            cloudwatch.delete_alarms(AlarmNames=[name])
        cloudwatch.delete_alarms(AlarmNames=[whole, name])

    @pytest.mark.parametrize(
        "changed, said",
        [
            ({"TreatMissingData": "hope"}, "TreatMissingData"),
            ({"Period": 45}, "Period must be"),
            ({"AlarmActions": ["arn:aws:swf:us-east-1:000000000000:x"]}, "service swf"),
            ({"DatapointsToAlarm": 2}, "DatapointsToAlarm"),
        ],
    )
    def test_what_is_no_alarm_is_refused(self, cloudwatch, name, changed, said):
        terms = {
            "AlarmName": name, "Namespace": "n", "MetricName": "m", "Statistic": "Sum",
            "Period": 60, "EvaluationPeriods": 1, "Threshold": 1.0,
            "ComparisonOperator": "GreaterThanThreshold",
        }
        with pytest.raises(ClientError, match=said):
            cloudwatch.put_metric_alarm(**(terms | changed))
