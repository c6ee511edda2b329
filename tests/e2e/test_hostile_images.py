"""Images and registries that mean harm: each is refused in words, and the platform goes on."""

import gzip
import http.server
import json
import pathlib
import tarfile
import threading

import pytest
from botocore.exceptions import ClientError

from support.images import Image, Layer, descriptor, digest
from support.package import ECHO as PLAIN, payload_of
from test_images import ECHO, app, make_image, until_settled  # noqa: F401

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Liar:
    """A registry that serves an image, with other answers for some of its paths."""

    def __init__(self):
        liar = self
        self.image, self.instead, self.leave = None, {}, threading.Event()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                path = self.path.rsplit("/", 1)[1]
                if answer := liar.instead.get(path):
                    return answer(self)
                data = liar.image.blobs.get(path, liar.image.manifest)
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.send_header("Content-Type", MANIFEST)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.host = f"127.0.0.1:{self.server.server_port}"

    def without_end(self, handler):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        try:
            while not self.leave.is_set():
                handler.wfile.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        except OSError:
            pass
        handler.close_connection = True

    def to_itself(self, handler):
        handler.send_response(307)
        handler.send_header("Location", f"http://{self.host}{handler.path}")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    def serve(self, image, **instead):
        self.image, self.instead = image, instead
        return f"{self.host}/app:latest"

    def stop(self):
        self.leave.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def liar():
    registry = Liar()
    yield registry
    registry.stop()


@pytest.fixture(autouse=True)
def goes_on(client, make_function, server):
    """After each of them, the same server still does its work."""
    yield
    assert server.process.poll() is None
    function = make_function(PLAIN)
    assert payload_of(client.invoke(FunctionName=function, Payload=b"7")) == 7
    assert "panicked" not in server.log()


def layers(image):
    return [layer["digest"] for layer in json.loads(image.manifest)["layers"]]


def refused(make_image, uri):  # noqa: F811
    with pytest.raises(ClientError) as error:
        make_image(uri, ready=False)
    assert error.value.response["Error"]["Code"] == "InvalidParameterValueException"
    return error.value.response["Error"]["Message"]


def failed(client, make_image, uri):  # noqa: F811
    shown = until_settled(client, make_image(uri, ready=False))
    assert (shown["State"], shown["StateReasonCode"]) == ("Failed", "InvalidImage"), shown
    return shown["StateReason"]


def test_a_manifest_without_end(liar, make_image):  # noqa: F811
    uri = liar.serve(app(ECHO), latest=liar.without_end)
    assert "limit" in refused(make_image, uri)


def test_redirects_without_end(liar, make_image):  # noqa: F811
    uri = liar.serve(app(ECHO), latest=liar.to_itself)
    assert "redirects without end" in refused(make_image, uri)


def test_a_layer_without_end(liar, client, make_image):  # noqa: F811
    image = app(ECHO)
    uri = liar.serve(image, **{layers(image)[0]: liar.without_end})
    assert "not what its digest says" in failed(client, make_image, uri)


def test_a_layer_that_is_another(liar, client, make_image):  # noqa: F811
    image = app("echo another")
    blob = layers(image)[1]
    image.blobs[blob] = image.blobs[blob][:-9] + b"different"
    assert "not what its digest says" in failed(client, make_image, liar.serve(image))


@pytest.mark.parametrize(
    "change",
    [
        {"layers": [{"digest": "sha256:../../../../etc/passwd", "size": 1}]},
        {"layers": [{"digest": digest(b"")}]},
        {"layers": [{"digest": digest(b""), "size": -1}]},
        {"layers": [{"digest": digest(b""), "size": 1}] * 128},
        {"layers": {}},
        {"config": {"digest": "md5:00", "size": 1}},
        {"config": descriptor("x", b"not there")},
    ],
    ids=["path", "no-size", "negative", "many", "kind", "digest", "configuration"],
)
def test_manifests_that_lie(liar, make_image, change):  # noqa: F811
    image = app(ECHO)
    image.manifest = json.dumps(json.loads(image.manifest) | change).encode()
    assert refused(make_image, liar.serve(image))


def test_a_name_that_fills_the_memory(liar, client, make_image, server):  # noqa: F811
    """Behind a size that only some readers of the archive believe."""

    def entry(name, kind, size, content=b""):
        header = tarfile.TarInfo(name)
        header.type, header.size = kind, size
        return header.tobuf(tarfile.USTAR_FORMAT) + content

    hidden = 400 << 20
    tar = entry("x", tarfile.XHDTYPE, 10, b"10 size=0\n".ljust(512, b"\0"))
    tar += entry("a", tarfile.REGTYPE, hidden + 512)
    tar += entry("b", tarfile.GNUTYPE_LONGNAME, hidden)
    image = Image([tar + b"x" * hidden], {"Entrypoint": ["/x"]}, lambda tar: gzip.compress(tar, 1))
    before = peak_kb(server)
    assert "too long" in failed(client, make_image, liar.serve(image))
    assert peak_kb(server) - before < 200 << 10


def peak_kb(server):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def test_links_lead_nowhere_else(liar, client, make_image, tmp_path):  # noqa: F811
    (tmp_path / "file").write_text("kept")
    up = "../" * 40 + str(tmp_path).lstrip("/")
    for target, entry in [
        (str(tmp_path), "link/planted"), (up, "link/planted"),
        (str(tmp_path), "link/.wh.file"), (up, "link/.wh..wh..opq"), (f"{tmp_path}/file", "link"),
    ]:
        top = Layer().symlink("link", target).add(entry, "x")
        until_settled(client, make_image(liar.serve(app(ECHO, top)), ready=False))
        assert [found.name for found in tmp_path.iterdir()] == ["file"]
        assert (tmp_path / "file").read_text() == "kept"
    for path, link in [("../x", ""), ("a/../../x", ""), ("hard", "../../etc/passwd")]:
        bad = Layer().hard_link(path, link) if link else Layer().add(path, "x")
        assert "leads out" in failed(client, make_image, liar.serve(app(ECHO, bad)))


def test_all_below_is_taken_away(liar, invoke, make_image):  # noqa: F811
    for marks in ([".wh..wh..opq"], [".wh.", "./.wh..", ".wh...", ".wh.bin", ".wh.app"]):
        top = Layer()
        for mark in marks:
            top.add(mark)
        answer = invoke(make_image(liar.serve(app(ECHO, top))), [1])
        assert payload_of(answer)["errorType"] == "Runtime.InvalidEntrypoint", marks
