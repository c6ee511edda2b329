"""Container images made of this machine's own files, and a real registry to keep them in."""

import base64
import gzip
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import tarfile
import time
import urllib.request

BUSYBOX = pathlib.Path("/bin/busybox")
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def busybox() -> bytes:
    """The static one, which needs nothing else in an image."""
    found = shutil.which("busybox") or BUSYBOX
    return pathlib.Path(found).read_bytes()


class Layer:
    """A tar that is written entry by entry."""

    def __init__(self):
        self.buffer = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.buffer, mode="w", format=tarfile.PAX_FORMAT)

    def add(self, name, content=b"", mode=0o644, kind=tarfile.REGTYPE, link="", mtime=1_600_000_000):
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.linkname, entry.mtime = kind, mode, link, mtime
        data = content.encode() if isinstance(content, str) else content
        entry.size = len(data) if kind == tarfile.REGTYPE else 0
        self.tar.addfile(entry, io.BytesIO(data) if entry.size else None)
        return self

    def dir(self, name, mode=0o755):
        return self.add(name, mode=mode, kind=tarfile.DIRTYPE)

    def symlink(self, name, target):
        return self.add(name, kind=tarfile.SYMTYPE, link=target)

    def hard_link(self, name, target):
        return self.add(name, kind=tarfile.LNKTYPE, link=target)

    def bytes(self) -> bytes:
        self.tar.close()
        return self.buffer.getvalue()


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def zstandard(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-q", "-c"], input=data, capture_output=True, check=True).stdout


class Image:
    """An image with its blobs; `compress` is applied to each layer."""

    def __init__(self, layers, config, compress=gzipped, architecture=ARCHITECTURE):
        self.tars = [layer.bytes() if isinstance(layer, Layer) else layer for layer in layers]
        blobs = [compress(tar) for tar in self.tars]
        self.config = json.dumps({
            "architecture": architecture, "os": "linux", "config": config,
            "rootfs": {"type": "layers", "diff_ids": [digest(tar) for tar in self.tars]},
        }).encode()
        kind = {gzipped: "tar+gzip", zstandard: "tar+zstd"}.get(compress, "tar")
        self.manifest = json.dumps({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", self.config),
            "layers": [
                descriptor(f"application/vnd.oci.image.layer.v1.{kind}", blob) for blob in blobs
            ],
        }).encode()
        self.blobs = {digest(blob): blob for blob in [self.config, *blobs]}
        self.digest = digest(self.manifest)

    def index(self, *others: tuple["Image", str]) -> bytes:
        """An index of this one and others, each with its architecture."""
        entries = [(self, ARCHITECTURE), *others]
        return json.dumps({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [
                descriptor("application/vnd.oci.image.manifest.v1+json", image.manifest)
                | {"platform": {"os": "linux", "architecture": architecture}}
                for image, architecture in entries
            ],
        }).encode()

    def write_layout(self, directory: pathlib.Path, tag: str) -> None:
        blobs = directory / "blobs/sha256"
        blobs.mkdir(parents=True)
        for name, blob in (self.blobs | {self.digest: self.manifest}).items():
            (blobs / name.removeprefix("sha256:")).write_bytes(blob)
        entry = descriptor("application/vnd.oci.image.manifest.v1+json", self.manifest)
        entry["annotations"] = {"org.opencontainers.image.ref.name": tag}
        (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
        (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    def write_archive(self, file: pathlib.Path) -> None:
        with tarfile.open(file, "w") as archive:
            def put(name, data):
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))

            names = [f"{n}/layer.tar" for n in range(len(self.tars))]
            for name, tar in zip(names, self.tars):
                put(name, tar)
            put("config.json", self.config)
            saved = [{"Config": "config.json", "RepoTags": ["app:latest"], "Layers": names}]
            put("manifest.json", json.dumps(saved).encode())


def descriptor(media_type: str, data: bytes) -> dict:
    return {"mediaType": media_type, "digest": digest(data), "size": len(data)}


class Registry:
    """Debian's docker-registry as a child process on a free port of loopback."""

    # What it knows of PASSWORD, hashed by bcrypt.
    USER, PASSWORD = "reader", "open sesame"
    HASHED = "$2b$04$JAr3GUCBq3SBtCHf5RTxTeOGEU4.a/oJsshNERokp41DgYpoR8IJ2"

    def __init__(self, directory: pathlib.Path, closed: bool = False):
        program = shutil.which("docker-registry")
        assert program, "there is no docker-registry; `apt-get install docker-registry`"
        directory.mkdir()
        settings = [
            "version: 0.1", "log: {level: info, formatter: json}",
            f"storage: {{filesystem: {{rootdirectory: {directory}/data}}, delete: {{enabled: true}}}}",
            "http: {addr: '127.0.0.1:0'}",
        ]
        self.authorization = None
        if closed:
            (directory / "passwords").write_text(f"{self.USER}:{self.HASHED}\n")
            settings.append(f"auth: {{htpasswd: {{realm: test, path: {directory}/passwords}}}}")
            encoded = base64.b64encode(f"{self.USER}:{self.PASSWORD}".encode()).decode()
            self.authorization = f"Basic {encoded}"
        config = directory / "config.yml"
        config.write_text("\n".join(settings) + "\n")
        self.log_path = directory / "log"
        log = open(self.log_path, "wb")
        self.process = subprocess.Popen([program, "serve", str(config)], stdout=log, stderr=log)
        log.close()
        self.host = self._until_it_listens()

    def _until_it_listens(self) -> str:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            if found := re.search(r"listening on (127\.0\.0\.1:\d+)", self.log_path.read_text()):
                return found[1]
            time.sleep(0.02)
        self.stop()
        raise RuntimeError(f"the registry did not start:\n{self.log_path.read_text()}")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def send(self, method, path, data=None, kind="application/octet-stream"):
        url = path if path.startswith("http") else f"http://{self.host}/v2/{path}"
        headers = {"Content-Type": kind}
        if self.authorization:
            headers["Authorization"] = self.authorization
        request = urllib.request.Request(url, data=data, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.headers

    def push(self, image: Image, repository: str, tag: str | None = "latest") -> str:
        """Gives the URI of what was pushed."""
        for name, blob in image.blobs.items():
            location = self.send("POST", f"{repository}/blobs/uploads/", data=b"")["Location"]
            joint = "&" if "?" in location else "?"
            self.send("PUT", f"{location}{joint}digest={name}", data=blob)
        kind = "application/vnd.oci.image.manifest.v1+json"
        under = tag or image.digest
        self.send("PUT", f"{repository}/manifests/{under}", data=image.manifest, kind=kind)
        return f"{self.host}/{repository}:{tag}" if tag else f"{self.host}/{repository}@{under}"

    def push_index(self, index: bytes, repository: str, tag: str) -> str:
        kind = "application/vnd.oci.image.index.v1+json"
        self.send("PUT", f"{repository}/manifests/{tag}", data=index, kind=kind)
        return f"{self.host}/{repository}:{tag}"
