"""Layers: what a function finds below /opt, in each language, and who may use them."""

import base64
import hashlib
import json
import urllib.request

import pytest
from botocore.exceptions import ClientError

from conftest import ROLE, until_active
from support.bash import bash_runtime
from support.package import CUSTOM, NODE, PYTHON, custom_package, package, payload_of
from support.server import ACCOUNT, REGION


@pytest.fixture
def publish(client, name):
    """Publishes a layer of files; gives the version's ARN."""
    made = []

    def publish(files, mode=0o644, layer=None, **options):
        layer = layer or f"{name}-l{len(made)}"
        answer = client.publish_layer_version(
            LayerName=layer, Content={"ZipFile": package(files, mode)}, **options
        )
        made.append((layer, answer["Version"]))
        return answer["LayerVersionArn"]

    yield publish
    for layer, version in made:
        client.delete_layer_version(LayerName=layer, VersionNumber=version)


READ = """
import os
def handler(event, context):
    found = {}
    for path in event:
        try:
            with open(path) as file:
                found[path] = file.read()
        except OSError as error:
            found[path] = type(error).__name__
    try:
        open("/opt/new", "w")
    except OSError as error:
        found["write"] = error.strerror
    return found
"""


class TestFiles:
    def test_layers_are_merged_in_order_and_read_only(self, invoke, make_function, publish):
        below = publish({"who": "below\n", "dir/below": "1\n", "either": "file\n"})
        above = publish({"who": "above\n", "dir/above": "2\n", "either/now": "directory\n"})
        function = make_function(READ, Layers=[below, above])
        paths = ["/opt/who", "/opt/dir/below", "/opt/dir/above", "/opt/either/now"]
        assert payload_of(invoke(function, paths)) == dict(
            zip(paths, ["above\n", "1\n", "2\n", "directory\n"]), write="Read-only file system"
        )

    def test_the_order_can_be_changed_and_layers_taken_away(
        self, client, invoke, make_function, publish
    ):
        one, two = publish({"who": "one\n"}), publish({"who": "two\n"})
        function = make_function(READ, Layers=[one, two])
        for layers, found in [([two, one], "one\n"), ([two], "two\n"), ([], "FileNotFoundError")]:
            client.update_function_configuration(FunctionName=function, Layers=layers)
            shown = until_active(client, function).get("Layers", [])
            assert [layer["Arn"] for layer in shown] == layers
            assert payload_of(invoke(function, ["/opt/who"]))["/opt/who"] == found

    def test_five_layers(self, invoke, make_function, publish):
        layers = [publish({f"file{n}": f"{n}\n", "last": f"{n}\n"}) for n in range(5)]
        function = make_function(READ, Layers=layers)
        found = payload_of(invoke(function, ["/opt/file0", "/opt/file4", "/opt/last"]))
        assert list(found.values())[:3] == ["0\n", "4\n", "4\n"]

    def test_a_deleted_layer_goes_on_working(self, new_server):
        server = new_server()
        server.start()
        client = server.client()
        made = client.publish_layer_version(
            LayerName="gone", Content={"ZipFile": package({"file": "still here\n"})}
        )
        client.create_function(
            FunctionName="f", Runtime=PYTHON, Handler="index.handler", Role=ROLE,
            Code={"ZipFile": package({"index.py": READ})}, Layers=[made["LayerVersionArn"]],
        )
        until_active(client, "f")
        client.delete_layer_version(LayerName="gone", VersionNumber=1)
        server.kill()
        server.start()
        client = server.client()
        answer = client.invoke(FunctionName="f", Payload=json.dumps(["/opt/file"]))
        assert payload_of(answer)["/opt/file"] == "still here\n"
        with pytest.raises(ClientError) as error:
            client.create_function(
                FunctionName="g", Runtime=PYTHON, Handler="index.handler", Role=ROLE,
                Code={"ZipFile": package({"index.py": READ})}, Layers=[made["LayerVersionArn"]],
            )
        assert error.value.response["Error"]["Code"] == "InvalidParameterValueException"


class TestLanguages:
    def test_python_modules(self, invoke, make_function, publish):
        site = f"python/lib/{PYTHON}/site-packages"
        layer = publish({
            "python/plain.py": "WHERE = 'python'\n",
            f"{site}/sited.py": "WHERE = 'site-packages'\n",
            "python/both.py": "WHERE = 'python'\n",
            f"{site}/both.py": "WHERE = 'site-packages'\n",
            "python/own.py": "WHERE = 'layer'\n",
        })
        code = """
            import plain, sited, both, own
            def handler(event, context):
                return [plain.WHERE, sited.WHERE, both.WHERE, own.WHERE]
        """
        files = {"index.py": code, "own.py": "WHERE = 'function'\n"}
        function = make_function(files=files, Layers=[layer])
        found = payload_of(invoke(function))
        assert found == ["python", "site-packages", "site-packages", "function"]

    @pytest.mark.parametrize("count", [1, 2], ids=["one", "several"])
    def test_node_modules(self, invoke, make_function, publish, count):
        major = NODE.removeprefix("nodejs").removesuffix(".x")
        module = "exports.where = __dirname;"
        layers = [
            publish({
                f"nodejs/node_modules/plain{n}/index.js": module,
                f"nodejs/node{major}/node_modules/sited{n}/index.js": module,
            })
            for n in range(count)
        ]
        code = f"""
            const found = [];
            for (let n = 0; n < {count}; n++) {{
              found.push(require(`plain${{n}}`).where, require(`sited${{n}}`).where);
            }}
            exports.handler = async () => found;
        """
        function = make_function(files={"index.js": code}, Runtime=NODE, Layers=layers)
        expected = []
        for n in range(count):
            expected += [
                f"/opt/nodejs/node_modules/plain{n}",
                f"/opt/nodejs/node{major}/node_modules/sited{n}",
            ]
        # More than once: from the pool of booted processes, and not.
        assert payload_of(invoke(function)) == expected

    def test_a_custom_runtime_comes_from_a_layer(self, invoke, make_function, publish):
        layer = publish({"bootstrap": bash_runtime("outcome=response answer=$event")}, 0o755)
        zip_file = package({"function.sh": "true\n"})
        function = make_function(zip_file=zip_file, Runtime=CUSTOM, Layers=[layer])
        assert payload_of(invoke(function, {"a": 1})) == {"a": 1}

    def test_the_functions_own_bootstrap_comes_first(self, invoke, make_function, publish):
        layer = publish({"bootstrap": bash_runtime("outcome=response answer='\"layer\"'")}, 0o755)
        own = custom_package(bash_runtime("outcome=response answer='\"function\"'"))
        function = make_function(zip_file=own, Runtime=CUSTOM, Layers=[layer])
        assert payload_of(invoke(function)) == "function"

    def test_programs_of_a_layer_are_on_the_path(self, invoke, make_function, publish):
        layer = publish({"bin/greet": "#!/bin/sh\necho hello from $0\n"}, 0o755)
        code = """
            import subprocess
            def handler(event, context):
                return subprocess.check_output(["greet"], text=True)
        """
        function = make_function(code, Layers=[layer])
        assert payload_of(invoke(function)) == "hello from /opt/bin/greet\n"

    def test_a_wrapper_starts_the_runtime(self, invoke, make_function, publish):
        layer = publish({"wrapper": '#!/bin/sh\nexport WRAPPED=yes\nexec "$@"\n'}, 0o755)
        code = "import os\ndef handler(event, context):\n    return os.environ.get('WRAPPED')\n"
        variables = {"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrapper"}}
        function = make_function(code, Layers=[layer], Environment=variables)
        assert payload_of(invoke(function)) == "yes"


class TestApi:
    def test_a_version_as_clients_see_it(self, client, make_function, publish, name):
        content = {"file": "text\n"}
        arn = publish(
            content, layer=name, Description="what it is", LicenseInfo="MIT",
            CompatibleRuntimes=[PYTHON], CompatibleArchitectures=["x86_64"],
        )
        assert arn == f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:{name}:1"
        got = client.get_layer_version_by_arn(Arn=arn)
        assert got["LayerArn"] == arn.removesuffix(":1")
        assert (got["Description"], got["LicenseInfo"]) == ("what it is", "MIT")
        with urllib.request.urlopen(got["Content"]["Location"]) as answer:
            downloaded = answer.read()
        assert downloaded == package(content)
        sha256 = base64.b64encode(hashlib.sha256(downloaded).digest()).decode()
        assert got["Content"]["CodeSha256"] == sha256
        assert got["Content"]["CodeSize"] == len(downloaded)
        listed = client.list_layer_versions(LayerName=name, CompatibleRuntime=PYTHON)
        assert [item["Version"] for item in listed["LayerVersions"]] == [1]
        function = make_function(READ, Layers=[arn])
        shown = client.get_function_configuration(FunctionName=function)["Layers"]
        assert shown == [{"Arn": arn, "CodeSize": len(downloaded)}]

    def test_lists_by_boto3s_paginators(self, client, publish, name):
        for _ in range(3):
            publish({"file": "x"}, layer=f"{name}-a")
        publish({"file": "x"}, layer=f"{name}-b")
        pages = client.get_paginator("list_layers").paginate(PaginationConfig={"PageSize": 1})
        names = [layer["LayerName"] for page in pages for layer in page["Layers"]]
        assert [found for found in names if found.startswith(name)] == [f"{name}-a", f"{name}-b"]
        pages = client.get_paginator("list_layer_versions").paginate(
            LayerName=f"{name}-a", PaginationConfig={"PageSize": 1}
        )
        versions = [item["Version"] for page in pages for item in page["LayerVersions"]]
        assert versions == [3, 2, 1]

    def test_a_layer_of_another_account(self, server, client, publish, name):
        arn = publish({"file": "shared\n"}, layer=name)
        other = server.client(key="222222222222")
        options = dict(
            FunctionName=name, Runtime=PYTHON, Handler="index.handler", Layers=[arn],
            Role="arn:aws:iam::222222222222:role/r", Code={"ZipFile": package({"index.py": READ})},
        )
        with pytest.raises(ClientError) as error:
            other.create_function(**options)
        assert error.value.response["Error"]["Code"] == "AccessDeniedException"
        client.add_layer_version_permission(
            LayerName=name, VersionNumber=1, StatementId="share", Principal="222222222222",
            Action="lambda:GetLayerVersion",
        )
        other.create_function(**options)
        try:
            until_active(other, name)
            answer = other.invoke(FunctionName=name, Payload=json.dumps(["/opt/file"]))
            assert payload_of(answer)["/opt/file"] == "shared\n"
        finally:
            other.delete_function(FunctionName=name)

    def test_the_command_line(self, server, tmp_path, name):
        def aws(*arguments):
            done = server.aws("lambda", *arguments)
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout) if done.stdout else None

        zip_file = tmp_path / "layer.zip"
        zip_file.write_bytes(package({"file": "x"}))
        made = aws(
            "publish-layer-version", "--layer-name", name,
            "--zip-file", f"fileb://{zip_file}", "--compatible-runtimes", PYTHON,
        )
        assert made["Version"] == 1
        listed = aws("list-layers", "--compatible-runtime", PYTHON)
        assert name in [layer["LayerName"] for layer in listed["Layers"]]
        aws("delete-layer-version", "--layer-name", name, "--version-number", "1")
        listed = aws("list-layer-versions", "--layer-name", name)
        assert listed["LayerVersions"] == []
