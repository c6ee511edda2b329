//! Errors of handlers and of the init phase, as Node.js has them.

use super::{CLASSIC, check, on_each};
use crate::{
    expect::{Case, Outcome, PLAIN, check_error},
    function::{Function, Start},
};

#[test]
fn errors() {
    check(&[
        Case {
            name: "an error with fields of its own",
            files: &[(
                "index.js",
                "class Custom extends Error { name = 'CustomError'; order = 7; }\nexports.handler = async () => { throw new Custom('some error\\noccurred ☃'); };",
            )],
            outcome: Outcome::Fails(
                "CustomError",
                "some error\noccurred ☃",
                "at exports.handler (…/index.js:2:",
            ),
            log: &[
                "\tERROR\tInvoke Error \t{\"errorType\":\"CustomError\",\"errorMessage\":\"some error\\noccurred ☃\",\"name\":\"CustomError\",\"order\":7,\"stack\":[",
            ],
            ..PLAIN
        },
        Case {
            name: "anything may be thrown",
            files: &[("index.js", "exports.handler = async () => { throw 42; };")],
            outcome: Outcome::Fails("number", "42", ""),
            ..PLAIN
        },
        Case {
            name: "even nothing",
            files: &[(
                "index.js",
                "exports.handler = async () => { throw Object.create(null); };",
            )],
            outcome: Outcome::Fails("handled", "callback called with Error argument", ""),
            ..PLAIN
        },
        Case {
            name: "an event that is not JSON",
            files: &[("index.js", "exports.handler = async () => 1;")],
            event: "not json",
            outcome: Outcome::Fails("SyntaxError", "Unexpected token", ""),
            ..PLAIN
        },
    ]);
}

#[test]
fn init_errors() {
    check(&[
        Case {
            name: "no such module",
            files: &[],
            outcome: Outcome::FailsInit(
                "Runtime.ImportModuleError",
                "Error: Cannot find module 'index'\nRequire stack:\n",
                "",
            ),
            env: CLASSIC,
            log: &[
                "\tundefined\tERROR\tUncaught Exception \t{\"errorType\":\"Runtime.ImportModuleError\"",
            ],
            ..PLAIN
        },
        Case {
            name: "a module that lacks another",
            files: &[("index.js", "require('not-there');")],
            outcome: Outcome::FailsInit(
                "Runtime.ImportModuleError",
                "Error: Cannot find module 'not-there'\nRequire stack:\n- …/index.js",
                "",
            ),
            ..PLAIN
        },
        Case {
            name: "what Lambda's own runtime brings along",
            files: &[("index.js", "require('@aws-sdk/client-s3/x');")],
            outcome: Outcome::FailsInit(
                "Runtime.ImportModuleError",
                "Error: Cannot find module '@aws-sdk/client-s3/x'",
                "",
            ),
            log: &[
                "\tWARN\t@aws-sdk/client-s3 is not a part of this runtime…npm install @aws-sdk/client-s3",
            ],
            ..PLAIN
        },
        Case {
            name: "an ES module that lacks another",
            files: &[("index.mjs", "import 'not-there';")],
            outcome: Outcome::FailsInit(
                "Error",
                "Cannot find package 'not-there' imported from …/index.mjs",
                "",
            ),
            ..PLAIN
        },
        Case {
            name: "a syntax error",
            files: &[("index.js", "exports.handler = async ( => 1;")],
            outcome: Outcome::FailsInit(
                "Runtime.UserCodeSyntaxError",
                "SyntaxError: Unexpected token '=>'",
                "Runtime.UserCodeSyntaxError: SyntaxError: Unexpected token '=>'…/index.js:1\n",
            ),
            ..PLAIN
        },
        Case {
            name: "a syntax error in an ES module",
            files: &[("index.mjs", "export const handler = async ( => 1;")],
            outcome: Outcome::FailsInit(
                "Runtime.UserCodeSyntaxError",
                "SyntaxError: Unexpected token '=>'",
                "Runtime.UserCodeSyntaxError",
            ),
            ..PLAIN
        },
        Case {
            name: "no such function",
            files: &[("index.js", "exports.other = 1;")],
            outcome: Outcome::FailsInit(
                "Runtime.HandlerNotFound",
                "index.handler is undefined or not exported",
                "",
            ),
            ..PLAIN
        },
        Case {
            name: "not a function",
            files: &[("index.js", "exports.handler = { a: 1 };")],
            outcome: Outcome::FailsInit(
                "Runtime.HandlerNotFound",
                "index.handler is not a function",
                "",
            ),
            ..PLAIN
        },
        Case {
            name: "a handler without a dot",
            files: &[("index.js", "")],
            handler: "index",
            outcome: Outcome::FailsInit("Runtime.MalformedHandlerName", "Bad handler", ""),
            ..PLAIN
        },
        Case {
            name: "a handler that leads out",
            files: &[("index.js", "")],
            handler: "../index.handler",
            outcome: Outcome::FailsInit(
                "Runtime.MalformedHandlerName",
                "'../index.handler' is not a valid handler name.",
                "",
            ),
            ..PLAIN
        },
        Case {
            name: "an error at import",
            files: &[(
                "index.mjs",
                "console.log('so far');\nthrow new RangeError('startup fails');",
            )],
            outcome: Outcome::FailsInit("RangeError", "startup fails", "/index.mjs:2:7"),
            log: &["\tundefined\tINFO\tso far"],
            ..PLAIN
        },
        Case {
            name: "an error of its own accord while it loads",
            files: &[(
                "index.mjs",
                "setTimeout(() => { throw new RangeError('on the side'); }, 1);\nawait new Promise(r => setTimeout(r, 1e6));\nexport const handler = 1",
            )],
            outcome: Outcome::FailsInit("RangeError", "on the side", "/index.mjs:1"),
            log: &["\tERROR\tUncaught Exception \t{\"errorType\":\"RangeError\""],
            ..PLAIN
        },
        Case {
            name: "a rejection of its own accord while it loads",
            files: &[(
                "index.js",
                "Promise.reject(new RangeError('on the side'));\nexports.handler = async () => new Promise(() => {});",
            )],
            outcome: Outcome::FailsInit(
                "Runtime.UnhandledPromiseRejection",
                "RangeError: on the side",
                "",
            ),
            log: &[
                "\tERROR\tUnhandled Promise Rejection \t{\"errorType\":\"Runtime.UnhandledPromiseRejection\"",
            ],
            ..PLAIN
        },
    ]);
}

#[test]
fn a_module_that_waits_for_ever_ends_the_process_and_says_so() {
    on_each(|node| {
        for start in [Start::Plain, Start::Pool] {
            let function = Function::node(node, start).file(
                "index.mjs",
                "await new Promise(() => {});\nexport const handler = 1;",
            );
            let ended = function.start().wait();
            assert_eq!(ended.status.code(), Some(13), "{ended:?}");
            let said = ended.log[0].text();
            assert!(
                said.contains("\tWARN\tWarning: Detected unsettled"),
                "{said}"
            );
        }
    });
}

#[test]
fn uncaught_errors_end_the_process() {
    on_each(|node| {
        for (code, kind, message, status) in [
            (
                "setTimeout(() => { throw new RangeError('side'); }, 1)",
                "RangeError",
                "side",
                129,
            ),
            (
                "Promise.reject(new RangeError('side'))",
                "Runtime.UnhandledPromiseRejection",
                "RangeError: side",
                128,
            ),
        ] {
            let code = format!(
                "exports.handler = async () => {{ {code}; await new Promise(r => setTimeout(r, 1e6)); }};"
            );
            let mut running = Function::node(node, Start::Pool)
                .file("index.js", code)
                .start();
            check_error("", &running.invoke("{}"), kind, message, "");
            let ended = running.wait();
            assert_eq!(ended.status.code(), Some(status), "{ended:?}");
        }
        let function = Function::node(node, Start::Plain).file(
            "index.js",
            "exports.handler = async () => { console.log('bye'); process.exit(5); };",
        );
        let mut running = function.start();
        running.deliver(b"{}", &[]);
        let ended = running.wait();
        assert_eq!(ended.status.code(), Some(5), "{ended:?}");
        assert!(ended.log[0].text().ends_with("\tINFO\tbye"), "{ended:?}");
    });
}
