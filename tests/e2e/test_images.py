"""Functions from container images, out of a real registry and out of files."""

import json
import pathlib
import subprocess
import sys
import textwrap
import time

import pytest
from botocore.exceptions import ClientError

from conftest import ROLE, until_active
from support.images import Image, Layer, Registry, busybox, gzipped, zstandard
from support.package import payload_of

# A runtime in the words of busybox's shell, which speaks HTTP by wget and nc alone.
RUNTIME = r"""#!/bin/sh
api=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation
host=${AWS_LAMBDA_RUNTIME_API%:*} port=${AWS_LAMBDA_RUNTIME_API#*:}
while true; do
    wget -q -S -O /tmp/event "$api/next" 2>/tmp/headers || exit 1
    id=$(grep -i lambda-runtime-aws-request-id /tmp/headers | cut -d: -f2 | tr -d ' \r')
    answer=$(. /app/handler.sh)
    wget -q -O /dev/null --post-data "$answer" "$api/$id/response" || exit 1
done
"""


def base() -> Layer:
    layer = Layer().dir("bin").dir("app").dir("etc").dir("usr").dir("usr/bin")
    layer.add("bin/busybox", busybox(), 0o755)
    for name in ("sh", "wget", "grep", "cut", "tr", "cat", "ls", "id", "env", "stat", "touch"):
        layer.symlink(f"bin/{name}", "busybox")
    layer.add("app/runtime", RUNTIME, 0o755)
    layer.add("etc/os-release", "ID=of-the-image\n")
    return layer


def app(handler, *more, compress=gzipped, **config):
    """An image whose answers are what its handler prints."""
    top = Layer().add("app/handler.sh", handler)
    defaults = {"Entrypoint": ["/app/runtime"], "Env": ["PATH=/bin", "COLOUR=blue"]}
    return Image([base(), top, *more], defaults | config, compress)


ECHO = "cat /tmp/event"


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    registry = Registry(tmp_path_factory.mktemp("registry") / "r")
    yield registry
    registry.stop()


@pytest.fixture
def make_image(client, name):
    """Creates functions of images; removes them after the test."""
    made = []

    def make(uri, ready=True, **options):
        function = f"{name}-{len(made)}"
        client.create_function(
            FunctionName=function, PackageType="Image", Code={"ImageUri": uri}, Role=ROLE,
            Timeout=10, **options,
        )
        made.append(function)
        if ready:
            until_active(client, function)
        return function

    yield make
    for function in made:
        client.delete_function(FunctionName=function)


def until_settled(client, function):
    """Pending no more, whatever came of it."""
    deadline = time.monotonic() + 60
    while True:
        shown = client.get_function_configuration(FunctionName=function)
        if shown["State"] != "Pending":
            return shown
        assert time.monotonic() < deadline, shown
        time.sleep(0.01)


class TestRegistry:
    def test_a_function_from_an_image(self, client, invoke, registry, make_image, name):
        image = app(ECHO)
        uri = registry.push(image, name)
        function = make_image(uri)
        assert payload_of(invoke(function, {"a": [1, "ü"]})) == {"a": [1, "ü"]}
        assert payload_of(invoke(function, 2)) == 2
        shown = client.get_function(FunctionName=function)
        assert shown["Code"] == {
            "RepositoryType": "ECR", "ImageUri": uri,
            "ResolvedImageUri": f"{registry.host}/{name}@{image.digest}",
        }
        configuration = shown["Configuration"]
        assert configuration["PackageType"] == "Image"
        assert configuration["CodeSha256"] == image.digest.removeprefix("sha256:")
        assert not {"Runtime", "Handler", "Layers", "ImageConfigResponse"} & set(configuration)

    @pytest.mark.parametrize("compress", [zstandard, bytes], ids=["zstd", "plain"])
    def test_layers_are_compressed_in_any_way(self, invoke, registry, make_image, name, compress):
        function = make_image(registry.push(app(ECHO, compress=compress), name))
        assert payload_of(invoke(function, 1)) == 1

    def test_the_digest_is_pinned(self, client, invoke, registry, make_image, name):
        uri = registry.push(app("echo '\"first\"'"), name)
        function = make_image(uri)
        registry.push(app("echo '\"second\"'"), name)
        client.update_function_configuration(FunctionName=function, MemorySize=256)
        until_active(client, function)
        assert payload_of(invoke(function)) == "first"
        client.update_function_code(FunctionName=function, ImageUri=uri)
        until_active(client, function)
        assert payload_of(invoke(function)) == "second"

    def test_an_index_has_this_machines_image(self, invoke, registry, make_image, name):
        own = app("echo '\"own\"'")
        other = Image([Layer().add("x", "other")], {}, architecture="s390x")
        for image in (own, other):
            registry.push(image, name, tag=None)
        uri = registry.push_index(own.index((other, "s390x")), name, "all")
        assert payload_of(invoke(make_image(uri))) == "own"

    def test_an_image_by_digest(self, invoke, registry, make_image, name):
        uri = registry.push(app("echo '\"pinned\"'"), name, tag=None)
        assert payload_of(invoke(make_image(uri))) == "pinned"

    def test_what_cannot_be_had_is_refused(self, client, registry, make_image, name):
        def refused(uri):
            with pytest.raises(ClientError) as error:
                make_image(uri)
            assert error.value.response["Error"]["Code"] == "InvalidParameterValueException"
            return error.value.response["Error"]["Message"]

        missing = f"{registry.host}/{name}:none"
        assert refused(missing) == (
            f"Source image {missing} does not exist. Provide a valid source image."
        )
        assert "is not valid" in refused("Not An Image")
        assert "cannot be used" in refused(f"127.0.0.1:1/{name}:x")
        other = Image([Layer().add("x", "x")], {}, architecture="s390x")
        assert "linux/s390x" in refused(registry.push(other, name))
        assert "--images" in refused("oci:/etc")

    def test_a_registry_that_wants_a_password(self, new_server, tmp_path, name):
        closed = Registry(tmp_path / "closed", closed=True)
        try:
            uri = closed.push(app("echo '\"let in\"'"), name)
            config = tmp_path / "docker.json"
            auth = closed.authorization.removeprefix("Basic ")
            config.write_text(json.dumps({"auths": {closed.host: {"auth": auth}}}))
            config.chmod(0o600)
            server = new_server("--registry-credentials", str(config)).start()
            client = server.client()
            client.create_function(
                FunctionName="f", PackageType="Image", Code={"ImageUri": uri}, Role=ROLE
            )
            until_active(client, "f")
            assert payload_of(client.invoke(FunctionName="f")) == "let in"
            stranger = new_server(data="stranger").start().client()
            with pytest.raises(ClientError) as error:
                stranger.create_function(
                    FunctionName="f", PackageType="Image", Code={"ImageUri": uri}, Role=ROLE
                )
            assert "permission" in error.value.response["Error"]["Message"]
        finally:
            closed.stop()

    def test_it_runs_when_the_registry_is_gone(self, new_server, tmp_path, name):
        registry = Registry(tmp_path / "mortal")
        server = new_server().start()
        client = server.client()
        try:
            uri = registry.push(app(ECHO), name)
            client.create_function(
                FunctionName="f", PackageType="Image", Code={"ImageUri": uri}, Role=ROLE
            )
            until_active(client, "f")
        finally:
            registry.stop()
        server.kill()
        client = server.start().client()
        assert payload_of(client.invoke(FunctionName="f", Payload=b"3")) == 3


class TestConfiguration:
    def test_image_config(self, client, invoke, registry, make_image, name):
        say = Layer().add("app/say", RUNTIME.replace(". /app/handler.sh", 'echo "\\"$0 $* $PWD\\""'), 0o755)
        image = app(ECHO, say.dir("work"), Cmd=["of", "image"], Entrypoint=["/app/say"], WorkingDir="/work")
        function = make_image(registry.push(image, name))
        assert payload_of(invoke(function)) == "/app/say of image /work"

        def change(config):
            client.update_function_configuration(FunctionName=function, ImageConfig=config)
            shown = until_active(client, function)
            found = shown.get("ImageConfigResponse", {}).get("ImageConfig", {})
            assert found == config
            return payload_of(invoke(function))

        assert change({"Command": ["mine"]}) == "/app/say mine /work"
        assert change({"WorkingDirectory": "/app"}) == "/app/say of image /app"
        # Found on the image's own path, with none of the image's command.
        own = {"EntryPoint": ["sh", "/app/say", "a b"], "WorkingDirectory": "/"}
        assert change(own) == "/app/say a b /"
        assert change({}) == "/app/say of image /work"

    def test_a_program_that_is_not_there(self, invoke, registry, make_image, name):
        function = make_image(registry.push(app(ECHO, Entrypoint=["/nowhere"]), name))
        answer = invoke(function)
        assert answer["FunctionError"]
        error = payload_of(answer)
        assert error["errorType"] == "Runtime.InvalidEntrypoint"
        assert "/nowhere" in error["errorMessage"]

    def test_what_does_not_go_together(self, client, registry, make_image, make_function, name):
        uri = registry.push(app(ECHO), name)
        image, zipped = make_image(uri), make_function("def handler(event, context): pass")

        def refused(operation, **options):
            with pytest.raises(client.exceptions.InvalidParameterValueException):
                operation(**options)

        refused(client.update_function_code, FunctionName=image, ZipFile=b"x")
        refused(client.update_function_code, FunctionName=zipped, ImageUri=uri)
        refused(client.update_function_configuration, FunctionName=image, Handler="a.b")
        refused(
            client.update_function_configuration, FunctionName=zipped,
            ImageConfig={"Command": ["x"]},
        )
        refused(make_image, uri=uri, Runtime="provided.al2023")


LOOK = """
from_image=$(cat /etc/os-release)
printf '{"uid": "%s", "colour": "%s", "name": "%s", "size": "%s", "os": "%s"' \
    "$(id -u)" "$COLOUR" "$AWS_LAMBDA_FUNCTION_NAME" "$AWS_LAMBDA_FUNCTION_MEMORY_SIZE" "$from_image"
touch /app/new 2>/dev/null && printf ', "writes": "root"'
touch /tmp/new && printf ', "tmp": "writes"'
printf ', "root": "%s"' "$(ls / | tr '\\n' ' ')"
printf ', "python": "%s"}' "$(ls /usr/bin | tr '\\n' ' ')"
"""


class TestFiles:
    def test_the_root_is_the_images(self, invoke, registry, make_image, name):
        function = make_image(
            registry.push(app(LOOK), name), Environment={"Variables": {"COLOUR": "red"}}
        )
        seen = payload_of(invoke(function))
        assert seen.pop("root").split() == ["app", "bin", "dev", "etc", "proc", "tmp", "usr"]
        assert seen == {
            "uid": "993", "colour": "red", "name": function, "size": "128",
            "os": "ID=of-the-image", "tmp": "writes", "python": "",
        }

    def test_layers_take_away_and_replace(self, invoke, registry, make_image, name):
        below = Layer().dir("d").add("d/gone", "1").add("d/kept", "1").dir("o").add("o/old", "1")
        below.dir("r").add("r/old", "1").add("both", "below").dir("s").add("s/x", "1")
        above = Layer().add("d/.wh.gone", "").add("o/.wh..wh..opq", "").add("o/new", "2")
        # Taken away and made anew, and a file in the place of a directory.
        above.add(".wh.r", "").dir("r").add("r/new", "2").add("both", "above").add(".wh.s", "")
        above.add("s", "a file")
        handler = "printf '\"%s\"' \"$(ls /d /o /r | tr '\\n' ' ')$(cat /both) $(cat /s)\""
        function = make_image(registry.push(app(handler, below, above), name))
        assert payload_of(invoke(function)) == "/d: kept  /o: new  /r: new above a file"

    def test_links(self, invoke, registry, make_image, name):
        links = Layer().dir("real").add("real/file", "content").symlink("way", "/real")
        links.add("way/through", "by link").hard_link("hard", "real/file")
        links.symlink("up", "../../../real/file")
        handler = "printf '\"%s\"' \"$(cat /way/file /real/through /hard /up)\""
        function = make_image(registry.push(app(handler, links), name))
        assert payload_of(invoke(function)) == "contentby linkcontentcontent"

    def test_no_layer_writes_outside_itself(
        self, client, invoke, registry, make_image, tmp_path, name
    ):
        target = tmp_path / "target"
        target.mkdir()
        layers = {
            "up": Layer().add("../../../../../../../../../../../../tmp/escaped-up", "x"),
            "link": Layer().symlink("out", str(target)).add("out/escaped", "x"),
            "deep": Layer().symlink("out", "../" * 30 + str(target)[1:]).add("out/escaped", "x"),
            "hard": Layer().hard_link("stolen", "/etc/passwd"),
        }
        for kind, layer in layers.items():
            uri = registry.push(app(ECHO, layer), f"{name}-{kind}")
            function = make_image(uri, ready=False)
            shown = until_settled(client, function)
            assert (shown["State"], shown["StateReasonCode"]) == ("Failed", "InvalidImage"), kind
        assert not pathlib.Path("/tmp/escaped-up").exists()
        assert list(target.iterdir()) == []
        # Where the image has such a directory of its own, that is where the file goes.
        inside = Layer().dir("own").symlink("out", "../../../own").add("out/file", "inside")
        handler = "printf '\"%s\"' \"$(cat /own/file)\""
        function = make_image(registry.push(app(handler, inside), name))
        assert payload_of(invoke(function)) == "inside"

    def test_python_and_its_libraries(self, invoke, registry, make_image, name):
        """An image like those of AWS's own runtime clients: an interpreter, libraries, a client."""
        layer, seen = Layer(), set()

        def copy(path):
            path = pathlib.Path(path)
            if path in seen:
                return
            seen.add(path)
            layer.add(str(path).lstrip("/"), path.read_bytes(), path.stat().st_mode & 0o777)

        program = pathlib.Path("/usr/bin/python3").resolve()
        if not program.exists():
            program = pathlib.Path(sys.executable).resolve()
        paths = subprocess.run(
            [program, "-I", "-c",
             "import sysconfig, sys; print(sysconfig.get_path('stdlib'), sys.version_info[1])"],
            capture_output=True, text=True, check=True,
        ).stdout.split()
        stdlib = pathlib.Path(paths[0])
        copy(program)
        modules = [path for path in stdlib.rglob("*") if path.is_file()]
        for path in modules:
            skipped = {"test", "tests", "idlelib", "tkinter", "__pycache__", "site-packages",
                       "dist-packages", "ensurepip", "lib2to3", "config"}
            if not skipped & set(path.parts) and path.suffix in (".py", ".so"):
                copy(path)
        for binary in [program, *(path for path in list(seen) if path.suffix == ".so")]:
            shown = subprocess.run(["ldd", binary], capture_output=True, text=True).stdout
            for word in shown.split():
                if word.startswith("/") and pathlib.Path(word).exists():
                    copy(word)
        client = '''
            import http.client, json, os, sys
            api = os.environ["AWS_LAMBDA_RUNTIME_API"]
            while True:
                connection = http.client.HTTPConnection(api)
                connection.request("GET", "/2018-06-01/runtime/invocation/next")
                answer = connection.getresponse()
                event = json.loads(answer.read())
                number = answer.headers["Lambda-Runtime-Aws-Request-Id"]
                result = json.dumps({"event": event, "handler": sys.argv[1], "cwd": os.getcwd()})
                path = f"/2018-06-01/runtime/invocation/{number}/response"
                connection = http.client.HTTPConnection(api)
                connection.request("POST", path, result)
                connection.getresponse().read()
        '''
        layer.add("task/client.py", textwrap.dedent(client))
        image = Image([layer], {
            "Entrypoint": [str(program), "-S", "/task/client.py"], "Cmd": ["app.handler"],
            "WorkingDir": "/task",
        })
        function = make_image(registry.push(image, name), MemorySize=256)
        expected = {"event": [1], "handler": "app.handler", "cwd": "/task"}
        assert payload_of(invoke(function, [1])) == expected


class TestLocal:
    @pytest.fixture
    def allowed(self, new_server, tmp_path):
        directory = tmp_path / "images"
        directory.mkdir()
        return directory, new_server("--images", str(directory)).start().client()

    def make(self, client, function, uri):
        client.create_function(
            FunctionName=function, PackageType="Image", Code={"ImageUri": uri}, Role=ROLE
        )
        until_active(client, function)
        return payload_of(client.invoke(FunctionName=function, Payload=b"[1]"))

    def test_a_layout_and_an_archive(self, allowed, tmp_path):
        directory, client = allowed
        app(ECHO).write_layout(directory / "app", "v1")
        assert self.make(client, "tagged", f"oci:{directory}/app:v1") == [1]
        assert self.make(client, "only", f"oci:{directory}/app") == [1]
        app(ECHO).write_archive(directory / "app.tar")
        assert self.make(client, "saved", f"docker-archive:{directory}/app.tar") == [1]

    def test_nothing_else_of_the_machine(self, allowed, tmp_path):
        directory, client = allowed
        outside = tmp_path / "outside"
        app(ECHO).write_layout(outside, "v1")
        (directory / "link").symlink_to(outside)
        app(ECHO).write_archive(tmp_path / "outside.tar")
        for uri in (
            f"oci:{outside}", f"oci:{directory}/../outside", f"oci:{directory}/link",
            f"docker-archive:{tmp_path}/outside.tar", f"oci:{directory}/none",
        ):
            with pytest.raises(ClientError) as error:
                self.make(client, "f", uri)
            assert "does not exist" in error.value.response["Error"]["Message"]
