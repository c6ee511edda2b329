"""Code packages: zips made from strings."""

import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import textwrap
import zipfile

# The interpreters that surely are on this machine: the one that runs the tests, and node.
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
CUSTOM = "provided.al2023"


def node_runtime() -> str:
    version = subprocess.run(
        [shutil.which("node"), "--version"], capture_output=True, text=True, check=True
    ).stdout
    return f"nodejs{version.lstrip('v').split('.')[0]}.x"


NODE = node_runtime()


def other_nodes() -> list[str]:
    """Arguments that name the Node.js versions installed beside the tests' SDK, all but our own;
    they come as packages for x86-64 only."""
    found = []
    for major in (18, 20, 22, 24):
        modules = pathlib.Path(os.environ["LAMBENT_TEST_NODE"]) / "node_modules"
        program = modules / f"node{major}" / "bin" / "node"
        if program.exists() and f"nodejs{major}.x" != NODE:
            found += ["--runtime", f"nodejs{major}.x={program}"]
    return found


def package(files: dict[str, str | bytes], mode: int = 0o644) -> bytes:
    """A zip of files, each with the mode; text is dedented."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, date_time=(2024, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o100000 | mode) << 16
            text = textwrap.dedent(content).lstrip("\n") if isinstance(content, str) else content
            archive.writestr(entry, text)
    return buffer.getvalue()


def python_package(code: str) -> bytes:
    return package({"index.py": code})


def custom_package(bootstrap: str, mode: int = 0o755, **files: str) -> bytes:
    return package({"bootstrap": bootstrap, **files}, mode)


def payload_of(response) -> object:
    """What a function answered, as JSON."""
    return json.loads(response["Payload"].read())


ECHO = """
def handler(event, context):
    return event
"""
