"""What the application consists of, by name, and the clients that reach it.

The packages come from the layer, so nothing has to be installed for these scripts but Python.
"""

import dataclasses
import json
import os
import pathlib
import sys
import urllib.request

import layers

HERE = pathlib.Path(__file__).parent
CACHE = (
    pathlib.Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent.parent / "target")) / "predictions"
)


def packages(cache: pathlib.Path = CACHE) -> pathlib.Path:
    """Builds the layers where they are not there yet, and makes their packages ours."""
    built = layers.build(cache)
    for folder in (HERE / "predict", built / "python"):
        if str(folder) not in sys.path:
            # Behind what is installed: who has boto3 keeps theirs.
            sys.path.append(str(folder))
    return built


@dataclasses.dataclass
class Stack:
    """All names begin with the prefix, so that several can be beside each other."""

    prefix: str = "predictions"
    endpoint: str = os.environ.get("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    region: str = os.environ.get("AWS_REGION", "us-east-1")

    def client(self, service, **options):
        import boto3
        import botocore.config

        settings = {"max_pool_connections": 32, "retries": {"mode": "standard"}} | options
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=self.region,
            aws_access_key_id=os.environ.get("AWS_ACCESS_KEY_ID", "test"),
            aws_secret_access_key=os.environ.get("AWS_SECRET_ACCESS_KEY", "test"),
            config=botocore.config.Config(**settings),
        )

    def reach(self):
        """Ends here where there is no platform."""
        try:
            urllib.request.urlopen(f"{self.endpoint}/_lambent/health").close()
        except OSError as error:
            raise SystemExit(
                f"there is no platform at {self.endpoint} ({error}): start `lambent up`, or name "
                "one by AWS_ENDPOINT_URL"
            ) from error

    @property
    def pictures(self):
        """The bucket that pictures are put into."""
        return f"{self.prefix}-pictures"

    @property
    def results(self):
        """The bucket with a result for each."""
        return f"{self.prefix}-results"

    @property
    def uploads(self):
        """The queue that tells of pictures and archives put."""
        return f"{self.prefix}-uploads"

    @property
    def tasks(self):
        """The queue with a message for each picture."""
        return f"{self.prefix}-tasks"

    @property
    def dead(self):
        """The queue of what could not be done."""
        return f"{self.prefix}-dead"

    @property
    def done(self):
        """The queue that tells of results."""
        return f"{self.prefix}-done"

    @property
    def split(self):
        return f"{self.prefix}-split"

    @property
    def predict(self):
        return f"{self.prefix}-predict"

    @staticmethod
    def layer(which):
        """The same for all stacks."""
        return f"predictions-{which}"

    def bill(self):
        """What the functions have cost so far: {function: {requests, gb_seconds, cost}}."""
        total = {}
        for row in self.operator("usage")["usage"]:
            if row["function"] in (self.split, self.predict):
                nothing = {"requests": 0, "gb_seconds": 0.0, "cost": 0.0}
                sums = total.setdefault(row["function"], nothing)
                for name in sums:
                    sums[name] += type(sums[name])(row[name])
        return total

    def environments(self):
        """Those that predict, as the operator sees them."""
        found = self.operator("environments")["environments"]
        return [one for one in found if one["function"] == self.predict]

    def operator(self, path):
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        request = AWSRequest("GET", f"{self.endpoint}/_lambent/{path}")
        key = os.environ.get("AWS_ACCESS_KEY_ID", "test")
        secret = os.environ.get("AWS_SECRET_ACCESS_KEY", "test")
        SigV4Auth(Credentials(key, secret), "lambda", self.region).add_auth(request)
        signed = urllib.request.Request(request.url, headers=dict(request.headers))
        with urllib.request.urlopen(signed) as answer:
            return json.load(answer)
