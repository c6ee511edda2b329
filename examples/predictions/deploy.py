"""Deploys the application, or brings what is deployed up to date.

    python3 examples/predictions/deploy.py [--database postgres://…]

    pictures (bucket) ► uploads (queue) ► split (function) ► tasks (queue) ► predict (function)

    predict ► results (bucket) ► done (queue)
            ► predictions (table)

Everything is made by AWS's own API. `--remove` takes it away again.
"""

import argparse
import base64
import contextlib
import hashlib
import io
import json
import os
import pathlib
import sys
import urllib.parse
import zipfile

import database
import layers
from stack import CACHE, HERE, Stack, packages

# An environment finds this machine by this name, where the platform is told to open the port.
HOST = "host.lambent.internal"
ALIAS = "live"
ROLE = "arn:aws:iam::000000000000:role/predictions"


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--database",
        default=os.environ.get("DATABASE_URL"),
        metavar="URL",
        help="the PostgreSQL for the table; without, one is started here",
    )
    parser.add_argument("--prefix", default="predictions", help="what all names begin with")
    parser.add_argument(
        "--memory",
        type=int,
        default=1769,
        metavar="MB",
        help="of an environment that predicts; 1769 is one CPU",
    )
    parser.add_argument(
        "--timeout",
        type=int,
        default=30,
        metavar="SECONDS",
        help="of a batch; what is not done then comes again",
    )
    parser.add_argument(
        "--visibility",
        type=int,
        metavar="SECONDS",
        help="how long a message that was taken is not given to others: what is "
        "lost with a worker comes again after it; six timeouts by default",
    )
    parser.add_argument("--batch", type=int, default=5, help="pictures of an invocation")
    parser.add_argument(
        "--concurrency",
        type=int,
        default=max(2, os.cpu_count() or 2),
        help="environments that predict at once; one for each CPU by default",
    )
    parser.add_argument(
        "--tries",
        type=int,
        default=10,
        help="how often a picture is tried before its message is put aside",
    )
    parser.add_argument(
        "--snapstart",
        action="store_true",
        help="begin environments from a snapshot of the init: Python 3.12 or later",
    )
    parser.add_argument("--cache", type=pathlib.Path, default=CACHE, help="where layers are kept")
    parser.add_argument("--remove", action="store_true", help="take everything away again")
    return parser


def main(arguments=None) -> Stack:
    given = options().parse_args(arguments)
    stack = Stack(given.prefix)
    stack.reach()
    step("layers: pip builds them, once")
    built = packages(given.cache)
    if given.remove:
        remove(stack, given)
        return stack
    url = given.database or database.start(given.cache / "postgres")
    step(f"table: predictions in {shown(url)}")
    make_table(url)
    deploy(stack, given, built, url)
    step("check: one picture, and a look into the table, from inside the function")
    check(stack, url)
    print(f"ready: put pictures into {stack.pictures}, or run examples/predictions/run.py")
    return stack


def deploy(stack, given, built, url) -> None:
    s3, sqs, functions = (stack.client(service) for service in ("s3", "sqs", "lambda"))
    step(f"queues: {stack.uploads}, {stack.tasks}, {stack.done}, {stack.dead}")
    dead = queue(sqs, stack.dead)
    work = {
        "VisibilityTimeout": given.visibility or 6 * given.timeout,
        "RedrivePolicy": {"deadLetterTargetArn": dead["arn"], "maxReceiveCount": given.tries},
    }
    uploads = queue(sqs, stack.uploads, Policy=may_send(stack.pictures), **work)
    tasks = queue(sqs, stack.tasks, **work)
    done = queue(sqs, stack.done, Policy=may_send(stack.results))
    step(f"buckets: {stack.pictures}, {stack.results}")
    for bucket in (stack.pictures, stack.results):
        with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
            s3.create_bucket(Bucket=bucket)
    # A picture that is replaced is another version, and both get their result.
    s3.put_bucket_versioning(Bucket=stack.pictures, VersioningConfiguration={"Status": "Enabled"})
    split, predict = deploy_functions(stack, given, built, url, tasks["url"])
    step("from buckets to queues, from queues to functions")
    tell(s3, stack.pictures, uploads["arn"])
    tell(s3, stack.results, done["arn"])
    # By way of a queue, and not at once: a bucket that invokes a function does so for each object,
    # and thousands put in a moment would want as many environments.
    mapping(functions, uploads["arn"], split, BatchSize=10, concurrency=2)
    mapping(functions, tasks["arn"], predict, BatchSize=given.batch, concurrency=given.concurrency)


def deploy_functions(stack, given, built, url, tasks_url) -> tuple[str, str]:
    """Their ARNs, or of what leads to them."""
    functions = stack.client("lambda")
    step(f"layers: {layers.size(built) / 1e6:.0f} MB unzipped")
    runtime = layer(functions, stack.layer("runtime"), built / "runtime.zip")
    model = layer(functions, stack.layer("model"), built / "model.zip")
    step(f"functions: {stack.split}, {stack.predict}")
    split = function(
        functions,
        stack.split,
        HERE / "split",
        network="off",
        Layers=[model],
        MemorySize=512,
        Timeout=given.timeout,
        Environment={"Variables": {"QUEUE": tasks_url}},
    )
    address = urllib.parse.urlsplit(inside(url))
    variables = {"RESULTS": stack.results, "DATABASE": inside(url), "MODELS": "/opt/models"}
    predict = function(
        functions,
        stack.predict,
        HERE / "predict",
        network=f"{address.hostname}:{address.port or 5432}",
        Layers=[runtime, model],
        MemorySize=given.memory,
        Timeout=given.timeout,
        SnapStart={"ApplyOn": "PublishedVersions" if given.snapstart else "None"},
        Environment={"Variables": variables},
    )
    return split, published(functions, stack.predict) if given.snapstart else predict


def queue(sqs, name, **attributes) -> dict:
    texts = {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in attributes.items()
    }
    try:
        url = sqs.create_queue(QueueName=name, Attributes=texts)["QueueUrl"]
    except sqs.exceptions.QueueNameExists:
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        sqs.set_queue_attributes(QueueUrl=url, Attributes=texts)
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return {"url": url, "arn": found["Attributes"]["QueueArn"]}


def tell(s3, bucket, queue_arn) -> None:
    """Has the queue told of what is put into the bucket."""
    told = {"Id": "told", "QueueArn": queue_arn, "Events": ["s3:ObjectCreated:*"]}
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [told]}
    )


def may_send(bucket) -> dict:
    """The policy of a queue that a bucket tells of its objects."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "s3.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": "*",
                "Condition": {"ArnEquals": {"aws:SourceArn": f"arn:aws:s3:::{bucket}"}},
            }
        ],
    }


def layer(functions, name, file) -> str:
    """The ARN of the version with this content; published if it is not the newest already."""
    content = file.read_bytes()
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    for version in functions.list_layer_versions(LayerName=name)["LayerVersions"][:1]:
        arn = version["LayerVersionArn"]
        if functions.get_layer_version_by_arn(Arn=arn)["Content"]["CodeSha256"] == digest:
            return arn
    made = functions.publish_layer_version(
        LayerName=name, Content={"ZipFile": content}, CompatibleRuntimes=[runtime_name()]
    )
    return made["LayerVersionArn"]


def runtime_name() -> str:
    """The layers are built for the Python that builds them."""
    return f"python{sys.version_info.major}.{sys.version_info.minor}"


def function(functions, name, folder, network, **configuration) -> str:
    """Creates a function or updates it; gives its ARN when it can be invoked."""
    configuration |= {"Runtime": runtime_name(), "Handler": "app.handler"}
    code, tags = zipped(folder), {"lambent:network": network}
    try:
        made = functions.create_function(
            FunctionName=name, Role=ROLE, Code={"ZipFile": code}, Tags=tags, **configuration
        )
    except functions.exceptions.ResourceConflictException:
        functions.update_function_code(FunctionName=name, ZipFile=code)
        until_ready(functions, name)
        made = functions.update_function_configuration(FunctionName=name, **configuration)
        functions.tag_resource(Resource=made["FunctionArn"], Tags=tags)
    until_ready(functions, name)
    return made["FunctionArn"]


def published(functions, name) -> str:
    """The ARN of an alias that leads to what was just deployed: snapshots are of versions."""
    version = functions.publish_version(FunctionName=name)["Version"]
    until_ready(functions, name, Qualifier=version)
    alias = {"FunctionName": name, "Name": ALIAS, "FunctionVersion": version}
    try:
        return functions.create_alias(**alias)["AliasArn"]
    except functions.exceptions.ResourceConflictException:
        before = functions.get_alias(FunctionName=name, Name=ALIAS)["FunctionVersion"]
        arn = functions.update_alias(**alias)["AliasArn"]
    if before != version:
        functions.delete_function(FunctionName=name, Qualifier=before)
    return arn


def until_ready(functions, name, **qualifier) -> None:
    for event in ("function_active_v2", "function_updated_v2"):
        waiter = functions.get_waiter(event)
        waiter.wait(FunctionName=name, WaiterConfig={"Delay": 1}, **qualifier)


def zipped(folder) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.glob("*.py")):
            entry = zipfile.ZipInfo(path.name, (2024, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes())
    return buffer.getvalue()


def mapping(functions, source, function, concurrency, **configuration) -> None:
    configuration |= {
        "FunctionName": function,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "ScalingConfig": {"MaximumConcurrency": max(2, concurrency)},
    }
    for one in functions.list_event_source_mappings(EventSourceArn=source)["EventSourceMappings"]:
        functions.update_event_source_mapping(UUID=one["UUID"], **configuration)
        return
    functions.create_event_source_mapping(EventSourceArn=source, **configuration)


def make_table(url) -> None:
    import table

    connection = table.connect(url)
    connection.run(table.SCHEMA)
    connection.close()


def inside(url) -> str:
    """The database's URL as a function has to write it: its own loopback is not ours."""
    parts = urllib.parse.urlsplit(url)
    if parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        return url
    user, at, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}{at}{HOST}:{parts.port or 5432}").geturl()


def shown(url) -> str:
    """Without the password."""
    parts = urllib.parse.urlsplit(url)
    return f"{parts.hostname}:{parts.port or 5432}{parts.path}"


def check(stack, url) -> None:
    """Invokes the function on a picture: its model reads, and it reaches its table."""
    import pictures

    picture = pictures.draw(1)
    event = json.dumps({"check": base64.b64encode(picture.data).decode()})
    answer = stack.client("lambda", read_timeout=120).invoke(
        FunctionName=stack.predict, Payload=event
    )
    said = json.load(answer["Payload"])
    if "FunctionError" in answer:
        hint = ""
        if HOST in inside(url):
            port = urllib.parse.urlsplit(url).port or 5432
            hint = f"\nIs the platform started with --host-services 127.0.0.1:{port}?"
        raise SystemExit(f"the function fails: {said.get('errorMessage')}{hint}")
    read = [line["text"] for line in said["lines"]]
    print(f"   drawn: {' | '.join(picture.lines)}\n    read: {' | '.join(read)}")


def remove(stack, given) -> None:
    s3, sqs, functions = (stack.client(service) for service in ("s3", "sqs", "lambda"))
    for one in functions.list_event_source_mappings()["EventSourceMappings"]:
        if one["EventSourceArn"].split(":")[-1] in (stack.uploads, stack.tasks):
            functions.delete_event_source_mapping(UUID=one["UUID"])
    for name in (stack.predict, stack.split):
        with contextlib.suppress(functions.exceptions.ResourceNotFoundException):
            functions.delete_function(FunctionName=name)
    for name in (stack.layer("runtime"), stack.layer("model")):
        for version in functions.list_layer_versions(LayerName=name)["LayerVersions"]:
            functions.delete_layer_version(LayerName=name, VersionNumber=version["Version"])
    for name in (stack.uploads, stack.tasks, stack.done, stack.dead):
        with contextlib.suppress(sqs.exceptions.QueueDoesNotExist):
            sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName=name)["QueueUrl"])
    for bucket in (stack.pictures, stack.results):
        with contextlib.suppress(s3.exceptions.NoSuchBucket):
            empty(s3, bucket)
            s3.delete_bucket(Bucket=bucket)
    if not given.database:
        database.stop(given.cache / "postgres")
    print("removed")


def empty(s3, bucket) -> None:
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        found = page.get("Versions", []) + page.get("DeleteMarkers", [])
        objects = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in found]
        if objects:
            s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})


def step(text) -> None:
    print(f"── {text}", flush=True)


if __name__ == "__main__":
    main()
