"""The real `lambent` binary as a child process on a free port of loopback.

Every wait is for an event (a line, an exit) and bounded. What the server writes goes to a file,
which a failing test shows.
"""

import os
import pathlib
import re
import signal
import subprocess
import threading

import boto3
import botocore.config

READY = re.compile(r"lambent is ready on (http://\S+)")
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 30
ACCOUNT = "000000000000"
REGION = "us-east-1"


def binary() -> str:
    path = os.environ.get("LAMBENT_BIN")
    if not path:
        raise RuntimeError("LAMBENT_BIN names no binary; run `cargo xtask test`")
    return path


def environment(**changes: str) -> dict[str, str]:
    """Ours, without what would send an AWS client or the binary elsewhere."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "LAMBENT_"))
    }
    return kept | {"AWS_EC2_METADATA_DISABLED": "true"} | changes


def credentials(directory: pathlib.Path, key: str, secret: str) -> list[str]:
    """The arguments that make a server take these credentials, and no others."""
    file = directory / "credentials"
    file.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n")
    file.chmod(0o600)
    return ["--credentials", str(file)]


class Server:
    def __init__(self, data: pathlib.Path, *arguments: str, **variables: str):
        self.data = data
        self.arguments = arguments
        self.variables = variables
        self.prefix: list[str] = []
        self.log_path = data.with_name(data.name + ".log")
        self.process = None
        self.url = None

    def start(self, listen: str = "127.0.0.1:0") -> "Server":
        command = [binary(), "up", "--listen", listen, "--data", str(self.data), *self.arguments]
        command = self.prefix + command
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment(**self.variables),
                cwd=self.data.parent,
            )
        self.url = self._until_ready()
        return self

    def on_a_disk_of(self, size: str) -> "Server":
        """Gives it a data directory on a file system of its own, seen by it alone."""
        self.data.mkdir()
        own = ["--mount"] if os.geteuid() == 0 else ["--mount", "--user", "--map-root-user"]
        mount = f'mount -t tmpfs -o size={size} tmpfs "$0" && exec "$@"'
        self.prefix = ["unshare", *own, "sh", "-c", mount, str(self.data)]
        return self

    def _until_ready(self) -> str:
        found, ready = [], threading.Event()

        def read(stdout):
            with open(self.log_path, "ab") as log:
                for line in iter(stdout.readline, b""):
                    log.write(b"stdout: " + line)
                    log.flush()
                    if match := READY.search(line.decode(errors="replace")):
                        found.append(match[1])
                        ready.set()
            stdout.close()
            ready.set()

        self.reader = threading.Thread(target=read, args=(self.process.stdout,), daemon=True)
        self.reader.start()
        ready.wait(START_TIMEOUT_S)
        if not found:
            code = self.process.poll()
            self.kill()
            raise RuntimeError(f"lambent was not ready (exit {code}):\n{self.log()}")
        return found[0].rstrip("/")

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def stop(self, timeout: float = STOP_TIMEOUT_S) -> int:
        """Ends it as an operator does and gives its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"lambent was still there {timeout} s after SIGTERM") from None
        finally:
            self.reader.join(STOP_TIMEOUT_S)

    def kill(self) -> None:
        """Ends it as a crash does."""
        self.process.kill()
        self.process.wait(STOP_TIMEOUT_S)
        self.reader.join(STOP_TIMEOUT_S)

    def client(self, service: str = "lambda", key="test", secret="test", **options):
        retries = {"total_max_attempts": 1}
        config = botocore.config.Config(
            retries=retries, max_pool_connections=128, read_timeout=90, **options
        )
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            config=config,
        )

    def command_line(self, *arguments: str, timeout: float = 60, **variables: str):
        """Runs `lambent ARGUMENTS` against this server."""
        return subprocess.run(
            [binary(), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=environment(AWS_ENDPOINT_URL=self.url, **variables),
        )

    def aws(self, *arguments: str, timeout: float = 60):
        """Runs AWS's own command line against this server."""
        return subprocess.run(
            self._aws(arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self._aws_environment(),
        )

    def _aws(self, arguments: tuple[str, ...]) -> list:
        return [pathlib.Path(os.environ["LAMBENT_TEST_VENV"]) / "bin" / "aws", *arguments]

    def _aws_environment(self) -> dict[str, str]:
        return environment(
            AWS_ENDPOINT_URL=self.url,
            AWS_ACCESS_KEY_ID="test",
            AWS_SECRET_ACCESS_KEY="test",
            AWS_DEFAULT_REGION=REGION,
            AWS_PAGER="",
        )
