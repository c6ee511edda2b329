//! Errors of handlers and of the init phase, as Python has them.

use super::{check, on_each};
use crate::{
    expect::{Case, Outcome, PLAIN},
    function::{Function, Start},
};

#[test]
fn errors() {
    check(&[
        Case {
            name: "an exception",
            files: &[(
                "app.py",
                "class Custom(Exception): pass\ndef inner():\n  raise Custom('some error\\noccurred')\ndef handler(event, context):\n  inner()\n",
            )],
            outcome: Outcome::Fails(
                "Custom",
                "some error\noccurred",
                "  File \"…/app.py\", line 5, in handler\n    inner()\n…line 3, in inner\n    raise Custom('some error\\noccurred')\n",
            ),
            log: &[
                "[ERROR] Custom: some error¶occurred¶Traceback (most recent call last):¶\u{a0}\u{a0}File \"…/app.py\", line 5, in handler¶\u{a0}\u{a0}\u{a0}\u{a0}inner()",
            ],
            ..PLAIN
        },
        Case {
            name: "what Lambda's own runtime brings along, as late as in the handler",
            files: &[("app.py", "def handler(e, c):\n  import botocore.client\n")],
            env: &[("AWS_LAMBDA_LOG_FORMAT", "JSON")],
            outcome: Outcome::Fails("ModuleNotFoundError", "No module named 'botocore'", ""),
            log: &["\"level\": \"WARNING\", \"message\": \"botocore is not a part of this runtime"],
            ..PLAIN
        },
        Case {
            name: "an exception with nothing to say, and one that cannot say it",
            files: &[(
                "app.py",
                "class Mute(Exception):\n  def __str__(self): raise ValueError()\ndef handler(e, c):\n  raise Mute()\n",
            )],
            outcome: Outcome::Fails("Mute", "", "line 4, in handler"),
            log: &["[ERROR] Mute"],
            ..PLAIN
        },
        Case {
            name: "lone surrogates in an error",
            files: &[(
                "app.py",
                "def handler(e, c):\n  raise ValueError('a\\ud800')\n",
            )],
            outcome: Outcome::Fails("ValueError", "a?", "in handler"),
            ..PLAIN
        },
        Case {
            name: "a handler that takes no arguments",
            files: &[("app.py", "def handler(): pass\n")],
            outcome: Outcome::Fails(
                "TypeError",
                "handler() takes 0 positional arguments but 2 were given",
                "",
            ),
            ..PLAIN
        },
        Case {
            name: "a result without JSON form",
            files: &[("app.py", "def handler(e, c): return {'x': {1, 2}}\n")],
            outcome: Outcome::Fails(
                "Runtime.MarshalError",
                "Unable to marshal response: Object of type set is not JSON serializable",
                "",
            ),
            log: &[
                "[ERROR] Runtime.MarshalError: Unable to marshal response: Object of type set is not JSON serializable¶Traceback (most recent call last):",
            ],
            ..PLAIN
        },
        Case {
            name: "a coroutine is no result",
            files: &[("app.py", "async def handler(e, c): return 1\n")],
            outcome: Outcome::Fails(
                "Runtime.MarshalError",
                "Object of type coroutine is not JSON serializable",
                "",
            ),
            ..PLAIN
        },
        Case {
            name: "a result that contains itself",
            files: &[(
                "app.py",
                "def handler(e, c):\n  a = []\n  a.append(a)\n  return a\n",
            )],
            outcome: Outcome::Fails(
                "Runtime.MarshalError",
                "Unable to marshal response: Circular reference detected",
                "",
            ),
            ..PLAIN
        },
        Case {
            name: "an event that is not JSON",
            files: &[("app.py", "def handler(e, c): return 1\n")],
            event: "not json",
            outcome: Outcome::Fails(
                "Runtime.UnmarshalError",
                "Unable to unmarshal input: Expecting value: line 1 column 1 (char 0)",
                "",
            ),
            ..PLAIN
        },
        Case {
            name: "an event that is empty",
            files: &[("app.py", "def handler(e, c): return 1\n")],
            event: "",
            outcome: Outcome::Fails("Runtime.UnmarshalError", "Expecting value", ""),
            ..PLAIN
        },
        Case {
            name: "recursion without end",
            files: &[("app.py", "def handler(e, c): return handler(e, c)\n")],
            outcome: Outcome::Fails(
                "RecursionError",
                "maximum recursion depth exceeded",
                "in handler",
            ),
            ..PLAIN
        },
        Case {
            name: "sys.exit in the handler ends the process, nothing is reported",
            files: &[(
                "app.py",
                "import sys\ndef handler(e, c):\n  print('last words', end='')\n  sys.exit(7)\n",
            )],
            outcome: Outcome::Exits(7),
            log: &["last words"],
            ..PLAIN
        },
    ]);
}

#[test]
fn init_errors() {
    check(&[
        Case {
            name: "no such module",
            files: &[("app.py", "")],
            handler: "nope.handler",
            outcome: Outcome::FailsInit(
                "Runtime.ImportModuleError",
                "Unable to import module 'nope': No module named 'nope'",
                "",
            ),
            log: &[
                "[ERROR] Runtime.ImportModuleError: Unable to import module 'nope': No module named 'nope'",
            ],
            ..PLAIN
        },
        Case {
            name: "a module that lacks another",
            files: &[("app.py", "import not_there\n")],
            outcome: Outcome::FailsInit(
                "Runtime.ImportModuleError",
                "Unable to import module 'app': No module named 'not_there'",
                "",
            ),
            ..PLAIN
        },
        Case {
            name: "what Lambda's own runtime brings along",
            files: &[("app.py", "from boto3.session import Session\n")],
            outcome: Outcome::FailsInit(
                "Runtime.ImportModuleError",
                "Unable to import module 'app': No module named 'boto3'",
                "",
            ),
            log: &[
                "[WARNING]\t20…Z\t\tboto3 is not a part of this runtime…pip install --target . boto3",
            ],
            ..PLAIN
        },
        Case {
            name: "a syntax error",
            files: &[("app.py", "x = 1\ndef handler(e, c)\n  return 1\n")],
            outcome: Outcome::FailsInit(
                "Runtime.UserCodeSyntaxError",
                "Syntax error in module 'app': …(app.py, line 2)",
                "  File \"…/app.py\" Line 2\n    def handler(e, c)",
            ),
            ..PLAIN
        },
        Case {
            name: "no such function",
            files: &[("app.py", "")],
            outcome: Outcome::FailsInit(
                "Runtime.HandlerNotFound",
                "Handler 'handler' missing on module 'app'",
                "",
            ),
            ..PLAIN
        },
        Case {
            name: "a handler without a dot",
            files: &[("app.py", "")],
            handler: "app",
            outcome: Outcome::FailsInit(
                "Runtime.MalformedHandlerName",
                "Bad handler 'app': not enough values to unpack (expected 2, got 1)",
                "",
            ),
            ..PLAIN
        },
        Case {
            name: "a built-in module",
            files: &[("sys.py", "")],
            handler: "sys.exit",
            outcome: Outcome::FailsInit(
                "Runtime.BuiltInModuleConflict",
                "Cannot use built-in module sys as a handler module",
                "",
            ),
            ..PLAIN
        },
        Case {
            name: "an exception at import",
            files: &[(
                "app.py",
                "print('so far')\nraise Exception('Runtime startup fails')\n",
            )],
            outcome: Outcome::FailsInit(
                "Exception",
                "Runtime startup fails",
                "importlib/__init__.py\"…in import_module…/app.py\", line 2, in <module>\n    raise Exception('Runtime startup fails')\n",
            ),
            log: &[
                "so far",
                "[ERROR] Exception: Runtime startup fails¶Traceback",
            ],
            ..PLAIN
        },
    ]);
}

#[test]
fn exit_while_loading_is_left_to_the_platform() {
    on_each(|python| {
        for start in [Start::Plain, Start::Fork] {
            let function = Function::python(python, start);
            let ended = function
                .file("app.py", "import sys\nsys.exit(3)\n")
                .start()
                .wait();
            assert_eq!(ended.status.code(), Some(3), "{ended:?}");
        }
    });
}
