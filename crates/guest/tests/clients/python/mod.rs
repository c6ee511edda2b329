//! The Python client: what handlers are given, what becomes of their results, and their errors.

mod failures;
mod logs;

use serde_json::{Value, json};

use crate::{
    expect::{Case, Outcome, PLAIN, check_error},
    function::{ARN, Function, REQUEST_ID, Start},
    interpreters::{Interpreter, pythons},
};

/// Every case on every Python, started both ways.
fn check(cases: &[Case]) {
    for python in pythons() {
        for start in [Start::Plain, Start::Fork] {
            for case in cases {
                println!("{} on 3.{}, {start:?}", case.name, python.minor);
                case.check(Function::python(python, start));
            }
        }
    }
}

fn on_each(test: impl Fn(&Interpreter)) {
    for python in pythons() {
        println!("3.{}", python.minor);
        test(python);
    }
}

#[test]
fn results() {
    check(&[
        Case {
            name: "an event is echoed",
            files: &[("app.py", "def handler(event, context):\n  return event\n")],
            event: r#" {"a": [1, 2.5, true, null, "x"], "b": {}, "c": 12345678901234567890} "#,
            outcome: Outcome::Returns(
                r#"{"a": [1, 2.5, true, null, "x"], "b": {}, "c": 12345678901234567890}"#,
            ),
            ..PLAIN
        },
        Case {
            name: "what JSON proper has no word for",
            files: &[(
                "app.py",
                "import collections, decimal, enum\n\
                 P = collections.namedtuple('P', 'x y')\n\
                 class E(enum.IntEnum):\n  A = 3\n\
                 class D:\n  def _asdict(self): return {'d': 1}\n\
                 def handler(event, context):\n  \
                   return {'n': decimal.Decimal('1.10'), 'nan': float('nan'), 'p': P(1, [P(2, b'y')]),\n    \
                     'b': b'text', b'k': E.A, 1: None, 'inf': [decimal.Decimal('NaN'), -1e999], \n    \
                     't': (1, decimal.Decimal('1E+3')), 'd': D()}\n",
            )],
            outcome: Outcome::Returns(
                r#"{"n": 1.10, "nan": NaN, "p": {"x": 1, "y": [{"x": 2, "y": "y"}]}, "b": "text", "k": 3, "1": null, "inf": [NaN, -Infinity], "t": [1, 1E+3], "d": {"d": 1}}"#,
            ),
            ..PLAIN
        },
        Case {
            name: "bytes are a response as they are",
            files: &[(
                "app.py",
                "def handler(event, context):\n  return b'\\x00raw'\n",
            )],
            outcome: Outcome::Returns("\0raw"),
            ..PLAIN
        },
        Case {
            name: "the handler may be any callable, in a package, named with slashes",
            files: &[
                ("pkg/__init__.py", ""),
                (
                    "pkg/sub/mod.py",
                    "class H:\n  def __call__(self, e, c): return __name__\nrun = H()\n",
                ),
            ],
            handler: "pkg/sub/mod.run",
            outcome: Outcome::Returns("\"pkg.sub.mod\""),
            ..PLAIN
        },
        Case {
            name: "a handler in a package, named with dots",
            files: &[
                (
                    "pkg/mod.py",
                    "from . import other\ndef run(e, c): return other.WORD\n",
                ),
                ("pkg/other.py", "WORD = 'found'\n"),
            ],
            handler: "pkg.mod.run",
            outcome: Outcome::Returns("\"found\""),
            ..PLAIN
        },
        Case {
            name: "the function's modules may have the names of the runtime's",
            files: &[("bootstrap.py", "def handler(e, c): return 'mine'\n")],
            handler: "bootstrap.handler",
            outcome: Outcome::Returns("\"mine\""),
            ..PLAIN
        },
        Case {
            name: "module state stays between invocations, and site's names are there",
            files: &[(
                "app.py",
                "import os\nn = []\nexit, quit\ndef handler(e, c):\n  assert os.getcwd() == os.environ['LAMBDA_TASK_ROOT']\n  assert 'LAMBENT_LOG_FRAMES' not in os.environ\n  return __file__.endswith('/app.py')\n",
            )],
            outcome: Outcome::Returns("true"),
            ..PLAIN
        },
    ]);
}

#[test]
fn text_is_escaped_up_to_3_11() {
    on_each(|python| {
        let function = Function::python(python, Start::Plain)
            .file("app.py", "def handler(e, c): return e['t']\n");
        let mut running = function.start();
        let body = running.invoke(r#"{"t": "é☃"}"#).body;
        let wanted = if python.minor < 12 {
            r#""\u00e9\u2603""#
        } else {
            "\"é☃\""
        };
        assert_eq!(String::from_utf8(body).expect("UTF-8"), wanted);
        // Half a surrogate pair has an escape, but no UTF-8.
        let request = running.invoke(r#"{"t": "\ud800"}"#);
        if python.minor < 12 {
            assert_eq!(request.body, br#""\ud800""#);
        } else {
            check_error(
                "",
                &request,
                "Runtime.MarshalError",
                "codec can't encode",
                "",
            );
        }
        assert!(running.finish().status.success());
    });
}

#[test]
fn context() {
    const CODE: &str = "
import json, os
def handler(event, c):
    left = c.get_remaining_time_in_millis()
    assert 0 < left <= 30000 and isinstance(left, int), left
    client = c.client_context
    return {
        'request': c.aws_request_id, 'arn': c.invoked_function_arn, 'name': c.function_name,
        'version': c.function_version, 'memory': c.memory_limit_in_mb, 'group': c.log_group_name,
        'stream': c.log_stream_name, 'trace': os.environ.get('_X_AMZN_TRACE_ID'),
        'identity': [c.identity.cognito_identity_id, c.identity.cognito_identity_pool_id],
        'client': client and [client.custom, client.env, client.client.app_title,
                              client.client.installation_id],
        'tenant': c.tenant_id, 'repr': repr(c)[:30],
    }
";
    on_each(|python| {
        let mut running = Function::python(python, Start::Fork)
            .file("app.py", CODE)
            .start();
        let mut wanted = json!({
            "request": REQUEST_ID, "arn": ARN, "name": "under-test", "version": "$LATEST",
            "memory": "128", "group": "/aws/lambda/under-test",
            "stream": "2024/01/01/[$LATEST]abc", "trace": "Root=1-5;Parent=2;Sampled=1",
            "identity": ["id", "pool"], "client": [{"c": 1}, {"e": "é"}, "title", null],
            "tenant": "tenant-1", "repr": "LambdaContext([aws_request_id=",
        });
        let headers = [
            ("lambda-runtime-trace-id", "Root=1-5;Parent=2;Sampled=1"),
            (
                "Lambda-Runtime-Client-Context",
                r#"{"custom":{"c":1},"env":{"e":"é"},"client":{"app_title":"title"}}"#,
            ),
            (
                "Lambda-Runtime-Cognito-Identity",
                r#"{"cognitoIdentityId":"id","cognitoIdentityPoolId":"pool"}"#,
            ),
            ("Lambda-Runtime-Aws-Tenant-Id", "tenant-1"),
        ];
        let body = running.invoke_with(b"{}", &headers).body;
        assert_eq!(
            serde_json::from_slice::<Value>(&body).expect("JSON"),
            wanted
        );

        // None of it stays for the next invocation.
        for name in ["trace", "client", "tenant"] {
            wanted[name] = Value::Null;
        }
        wanted["identity"] = json!([null, null]);
        let body = running.invoke("{}").body;
        assert_eq!(
            serde_json::from_slice::<Value>(&body).expect("JSON"),
            wanted
        );

        let request = running.invoke_with(b"{}", &[("Lambda-Runtime-Client-Context", "{")]);
        check_error(
            "client context",
            &request,
            "Runtime.LambdaContextUnmarshalError",
            "Unable to parse Client Context JSON: ",
            "",
        );
        assert!(running.finish().status.success());
    });
}

#[test]
fn search_path_is_lambdas() {
    const CODE: &str = "import sys\ndef handler(e, c): return sys.path\n";
    on_each(|python| {
        let function = Function::python(python, Start::Fork)
            .file("app.py", CODE)
            .env("PYTHONPATH", "/var/runtime:/mine");
        let root = function.root().display().to_string();
        let mut running = function.start();
        let body = running.invoke("{}").body;
        let path: Vec<String> = serde_json::from_slice(&body).expect("a list of paths");
        let layer = format!("/opt/python/lib/python3.{}/site-packages", python.minor);
        let runtime = concat!(env!("CARGO_MANIFEST_DIR"), "/python");
        let wanted = [
            root.as_str(),
            &layer,
            "/opt/python",
            "/var/runtime",
            "/mine",
            runtime,
        ];
        assert_eq!(path[..6], wanted);
        assert!(
            path[6..].iter().any(|entry| entry.ends_with("lib-dynload")),
            "{path:?}"
        );
        assert!(
            !path[6..]
                .iter()
                .any(|entry| entry.contains("site-packages")),
            "{path:?}"
        );
    });
}

#[test]
fn an_event_that_is_not_json_by_its_type_is_given_as_bytes() {
    on_each(|python| {
        let function = Function::python(python, Start::Plain).file(
            "app.py",
            "def handler(e, c): return [type(e).__name__, len(e)]\n",
        );
        let mut running = function.start();
        let request = running.invoke_with(b"\xff\x00", &[("Content-Type", "application/unknown")]);
        assert_eq!(request.body, b"[\"bytes\", 2]");
        assert_eq!(request.header("Content-Type"), Some("application/json"));
    });
}

#[test]
fn the_users_modules_are_not_loaded_before_the_fork() {
    const CODE: &str =
        "import os\nMINE = os.getpid()\ndef handler(e, c): return MINE == os.getpid()\n";
    on_each(|python| {
        let mut running = Function::python(python, Start::Fork)
            .file("app.py", CODE)
            .start();
        assert_eq!(running.invoke("{}").body, b"true");
    });
}
