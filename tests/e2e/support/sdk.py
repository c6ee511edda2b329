"""AWS's SDKs as functions bring them: in their packages."""

import functools
import io
import os
import pathlib
import textwrap
import zipfile

import boto3
import botocore

# What boto3 is made of, and the services' data that the tests use; all of it is 25 MB.
_PYTHON = ["boto3", "botocore", "jmespath", "s3transfer", "dateutil", "urllib3"]
_DURABLE = "aws_durable_execution_sdk_python"
_SERVICES = ["lambda", "sqs", "sts"]
_NODE = ["@aws-sdk", "@aws", "@smithy", "bowser", "tslib"]


def python_package(code: str) -> bytes:
    """A zip of a handler and boto3."""
    return _with(_python_sdk(), "index.py", code)


def durable_python_package(code: str) -> bytes:
    """The same with AWS's durable execution SDK; the JavaScript one is in `node_package`."""
    return _with(_python_sdk(_DURABLE), "index.py", code)


def node_package(code: str) -> bytes:
    """A zip of a handler and the clients that the tests have."""
    return _with(_node_sdk(), "index.mjs", code)


def rust_package() -> bytes:
    """The function in `tests/e2e/rust`."""
    program = pathlib.Path(os.environ["LAMBENT_TEST_RUST"]).read_bytes()
    return _zip({"bootstrap": program}, 0o755)


@functools.cache
def _python_sdk(*more: str) -> bytes:
    site = pathlib.Path(boto3.__file__).parent.parent
    data = pathlib.Path(botocore.__file__).parent / "data"

    def is_used(file: pathlib.Path) -> bool:
        of_service = file.relative_to(data).parts if data in file.parents else ()
        return "__pycache__" not in file.parts and (
            len(of_service) < 2 or of_service[0] in _SERVICES
        )

    files = [file for package in [*_PYTHON, *more] for file in (site / package).rglob("*")]
    return _files(site, [site / "six.py", *filter(is_used, files)])


@functools.cache
def _node_sdk() -> bytes:
    folder = pathlib.Path(os.environ["LAMBENT_TEST_NODE"])
    others = {"dist-es", "dist-types"}
    files = [
        file
        for package in _NODE
        for file in (folder / "node_modules" / package).rglob("*")
        if others.isdisjoint(file.parts)
    ]
    return _files(folder, files)


def _files(folder: pathlib.Path, files: list[pathlib.Path]) -> bytes:
    found = (file for file in files if file.is_file())
    return _zip({str(file.relative_to(folder)): file.read_bytes() for file in found})


def _with(sdk: bytes, name: str, code: str) -> bytes:
    buffer = io.BytesIO(sdk)
    with zipfile.ZipFile(buffer, "a") as archive:
        _add(archive, name, textwrap.dedent(code).encode())
    return buffer.getvalue()


def _zip(files: dict[str, bytes], mode: int = 0o644) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            _add(archive, name, content, mode)
    return buffer.getvalue()


def _add(archive: zipfile.ZipFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = zipfile.ZipInfo(name, date_time=(2024, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = (0o100000 | mode) << 16
    archive.writestr(entry, content)
