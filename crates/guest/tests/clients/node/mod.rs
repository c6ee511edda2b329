//! The Node.js client: what handlers are given, what becomes of their results, and their errors.

mod failures;
mod logs;

use serde_json::{Value, json};

use crate::{
    expect::{Case, Outcome, PLAIN, check_error},
    function::{ARN, Function, REQUEST_ID, Start},
    interpreters::{Interpreter, nodes},
};

/// Callbacks are Node.js 22's and before; the runtime that was asked for decides.
const CLASSIC: &[(&str, &str)] = &[("AWS_EXECUTION_ENV", "AWS_Lambda_nodejs20.x")];
const MODERN: &[(&str, &str)] = &[("AWS_EXECUTION_ENV", "AWS_Lambda_nodejs24.x")];

/// Every case on every Node.js, started both ways.
fn check(cases: &[Case]) {
    for node in nodes() {
        for start in [Start::Plain, Start::Pool] {
            for case in cases {
                println!("{} on {}, {start:?}", case.name, node.major);
                case.check(Function::node(node, start));
            }
        }
    }
}

fn on_each(test: impl Fn(&Interpreter)) {
    for node in nodes() {
        println!("{}", node.major);
        test(node);
    }
}

#[test]
fn modules() {
    const ECHO: &str = "export const handler = async event => event;";
    check(&[
        Case {
            name: "CommonJS",
            files: &[("index.js", "exports.handler = async event => event;")],
            event: r#"{"a":[1,2.5,true,null,"é☃\ud800"],"b":{}}"#,
            outcome: Outcome::Returns(r#"{"a":[1,2.5,true,null,"é☃\ud800"],"b":{}}"#),
            ..PLAIN
        },
        Case {
            name: "an ES module that waits at its top level",
            files: &[(
                "index.mjs",
                "const n = await Promise.resolve(7);\nexport const handler = async () => n;",
            )],
            outcome: Outcome::Returns("7"),
            ..PLAIN
        },
        Case {
            name: "an ES module by its package",
            files: &[("index.js", ECHO), ("package.json", r#"{"type":"module"}"#)],
            outcome: Outcome::Returns("{}"),
            ..PLAIN
        },
        Case {
            name: ".js comes before .mjs",
            files: &[
                ("index.js", "exports.handler = async () => 'js'"),
                ("index.mjs", "export const handler = async () => 'mjs'"),
            ],
            outcome: Outcome::Returns("\"js\""),
            ..PLAIN
        },
        Case {
            name: ".cjs in a package of ES modules",
            files: &[
                ("index.cjs", "exports.handler = async () => 'cjs'"),
                ("package.json", r#"{"type":"module"}"#),
            ],
            outcome: Outcome::Returns("\"cjs\""),
            ..PLAIN
        },
        Case {
            name: "nested folders and objects",
            files: &[(
                "a/b/index.js",
                "exports.x = { y: { z: async () => __filename.slice(-13) } };",
            )],
            handler: "a/b/index.x.y.z",
            outcome: Outcome::Returns("\"/a/b/index.js\""),
            ..PLAIN
        },
        Case {
            name: "own dependencies, from CommonJS and from an ES module",
            files: &[
                (
                    "index.mjs",
                    "import dep from 'dep';\nimport { createRequire } from 'module';\nexport const handler = async () => dep + createRequire(import.meta.url)('dep');",
                ),
                ("node_modules/dep/index.js", "module.exports = 'dep';"),
            ],
            outcome: Outcome::Returns("\"depdep\""),
            ..PLAIN
        },
        Case {
            name: "the environment and the working directory",
            files: &[(
                "index.js",
                "exports.handler = async () => [process.cwd() === process.env.LAMBDA_TASK_ROOT, process.env.LAMBENT_POOL_FD, process.env.LEFT_BEHIND, process.env.LAMBENT_LOG_FRAMES, new Date(0).getTimezoneOffset(), process.env.TZ];",
            )],
            env: &[("TZ", "Asia/Tokyo")],
            outcome: Outcome::Returns("[true,null,null,null,-540,\"Asia/Tokyo\"]"),
            ..PLAIN
        },
    ]);
}

#[test]
fn layers_are_found() {
    on_each(|node| {
        for start in [Start::Plain, Start::Pool] {
            for (file, code) in [
                (
                    "index.js",
                    "exports.handler = async () => require('dep') + require('@s/dep');",
                ),
                (
                    "index.mjs",
                    "import dep from 'dep';\nimport other from '@s/dep';\nexport const handler = async () => dep + other;",
                ),
            ] {
                let function = Function::node(node, start)
                    .file(&format!("task/{file}"), code)
                    .file("opt/nodejs/node_modules/dep/index.js", "module.exports = 'layer';")
                    .file("opt/nodejs/node20/node_modules/@s/dep/index.mjs", "export default 'scoped'")
                    .file("opt/nodejs/node20/node_modules/@s/dep/package.json", r#"{"main":"index.cjs","exports":{"import":"./index.mjs","require":"./index.cjs"}}"#)
                    .file("opt/nodejs/node20/node_modules/@s/dep/index.cjs", "module.exports = 'scoped'");
                let root = function.root().display().to_string();
                let path = format!(
                    "{root}/opt/nodejs/node20/node_modules:{root}/opt/nodejs/node_modules:/var/runtime"
                );
                let task = format!("{root}/task");
                let mut running = function
                    .env("NODE_PATH", &path)
                    .env("LAMBDA_TASK_ROOT", &task)
                    .start();
                let body = running.invoke("{}").body;
                assert_eq!(
                    String::from_utf8_lossy(&body),
                    "\"layerscoped\"",
                    "{file} {start:?}"
                );
                let ended = running.finish();
                assert!(ended.status.success(), "{ended:?}");
            }
        }
    });
}

#[test]
fn classic_answers() {
    check(&[
        Case {
            name: "a promise of a function that is not async",
            files: &[(
                "index.js",
                "exports.handler = () => new Promise(r => setTimeout(r, 1, { a: undefined, b: new Date(0) }));",
            )],
            env: CLASSIC,
            outcome: Outcome::Returns(r#"{"b":"1970-01-01T00:00:00.000Z"}"#),
            ..PLAIN
        },
        Case {
            name: "any thenable",
            files: &[(
                "index.js",
                "exports.handler = () => ({ then(resolve) { resolve('then'); } });",
            )],
            env: CLASSIC,
            outcome: Outcome::Returns("\"then\""),
            ..PLAIN
        },
        Case {
            name: "undefined and functions are null",
            files: &[("index.js", "exports.handler = async () => () => 1;")],
            ..PLAIN
        },
        Case {
            name: "a callback waits for the event loop to be empty",
            files: &[(
                "index.js",
                "exports.handler = (event, context, callback) => {\n  const o = {};\n  callback(null, o);\n  setTimeout(() => { o.late = true; }, 5);\n};",
            )],
            env: CLASSIC,
            outcome: Outcome::Returns(r#"{"late":true}"#),
            ..PLAIN
        },
        Case {
            name: "unless told not to",
            files: &[(
                "index.js",
                "exports.handler = (event, context, callback) => {\n  context.callbackWaitsForEmptyEventLoop = false;\n  const o = {};\n  setTimeout(() => {}, 1e6);\n  setTimeout(() => { callback(null, o); o.late = true; callback(null, 2); }, 1);\n};",
            )],
            env: CLASSIC,
            outcome: Outcome::Returns("{}"),
            ..PLAIN
        },
        Case {
            name: "context.succeed, and the first answer counts",
            files: &[(
                "index.js",
                "exports.handler = (event, context) => { context.succeed(1); context.fail('no'); context.done(null, 3); setInterval(() => {}, 1e6); };",
            )],
            env: CLASSIC,
            outcome: Outcome::Returns("1"),
            ..PLAIN
        },
        Case {
            name: "context.done",
            files: &[(
                "index.js",
                "exports.handler = (event, context) => { setTimeout(() => context.done(null, 'done'), 1); };",
            )],
            env: CLASSIC,
            outcome: Outcome::Returns("\"done\""),
            ..PLAIN
        },
        Case {
            name: "context.fail with nothing",
            files: &[(
                "index.js",
                "exports.handler = (event, context) => { context.fail(); };",
            )],
            env: CLASSIC,
            outcome: Outcome::Fails("string", "handled", ""),
            ..PLAIN
        },
        Case {
            name: "a callback with an error",
            files: &[(
                "index.js",
                "exports.handler = (event, context, callback) => { callback(new RangeError('too far')); };",
            )],
            env: CLASSIC,
            outcome: Outcome::Fails(
                "RangeError",
                "too far",
                "RangeError: too far\n    at exports.handler (…/index.js:1:",
            ),
            log: &[
                "20…Z\t8a4ed1f1-22d9-4d65-9a30-0e6d0b2f6d1a\tERROR\tInvoke Error \t{\"errorType\":\"RangeError\",\"errorMessage\":\"too far\",\"stack\":[\"RangeError: too far\",\"",
            ],
            ..PLAIN
        },
        Case {
            name: "a callback with a text for an error",
            files: &[(
                "index.js",
                "exports.handler = (event, context, callback) => { callback('just text'); };",
            )],
            env: CLASSIC,
            outcome: Outcome::Fails("string", "just text", ""),
            ..PLAIN
        },
        Case {
            name: "a forgotten callback is null",
            files: &[(
                "index.js",
                "exports.handler = (event, context, callback) => 'ignored';",
            )],
            env: CLASSIC,
            ..PLAIN
        },
        Case {
            name: "a promise that is never settled",
            files: &[(
                "index.js",
                "exports.handler = async () => { await new Promise(() => {}); };",
            )],
            env: CLASSIC,
            outcome: Outcome::Fails("Runtime.NodeJsExit", "", ""),
            ..PLAIN
        },
        Case {
            name: "no JSON form",
            files: &[("index.js", "exports.handler = async () => 1n;")],
            env: CLASSIC,
            outcome: Outcome::Fails("Error", "Unable to stringify response body", ""),
            ..PLAIN
        },
        Case {
            name: "no JSON form, by callback",
            files: &[(
                "index.js",
                "exports.handler = (e, c, callback) => { const o = {}; o.o = o; callback(null, o); };",
            )],
            env: CLASSIC,
            outcome: Outcome::Fails("Error", "Unable to stringify response body", ""),
            ..PLAIN
        },
    ]);
}

#[test]
fn modern_answers() {
    check(&[
        Case {
            name: "what the handler returns",
            files: &[(
                "index.mjs",
                "export const handler = (event, context) => [context.succeed, context.done, context.fail, 'callbackWaitsForEmptyEventLoop' in context];",
            )],
            env: MODERN,
            outcome: Outcome::Returns("[null,null,null,false]"),
            ..PLAIN
        },
        Case {
            name: "the default export's too",
            files: &[(
                "index.mjs",
                "export default { handler: async () => 'default' };",
            )],
            env: MODERN,
            outcome: Outcome::Returns("\"default\""),
            ..PLAIN
        },
        Case {
            name: "timers that are left over do not hold it up",
            files: &[(
                "index.mjs",
                "export const handler = async () => { setTimeout(() => {}, 1e6); return 1; };",
            )],
            env: MODERN,
            outcome: Outcome::Returns("1"),
            ..PLAIN
        },
        Case {
            name: "an error",
            files: &[(
                "index.mjs",
                "export const handler = async () => { throw new TypeError('bad'); };",
            )],
            env: MODERN,
            outcome: Outcome::Fails(
                "TypeError",
                "bad",
                "TypeError: bad\n    at handler (file://…/index.mjs:1:",
            ),
            log: &["\tERROR\tInvoke Error \t{\"errorType\":\"TypeError\""],
            ..PLAIN
        },
        Case {
            name: "no JSON form",
            files: &[("index.mjs", "export const handler = async () => 1n;")],
            env: MODERN,
            outcome: Outcome::Fails(
                "Runtime.JSONStringifyError",
                "Unable to stringify response body",
                "",
            ),
            ..PLAIN
        },
        Case {
            name: "a handler that takes a callback",
            files: &[(
                "index.js",
                "exports.handler = (event, context, callback) => callback(null, 1);",
            )],
            env: MODERN,
            outcome: Outcome::FailsInit(
                "Runtime.CallbackHandlerDeprecated",
                "ERROR: AWS Lambda has removed support for callback-based function handlers",
                "",
            ),
            log: &[
                "\tundefined\tERROR\tInit Error \t{\"errorType\":\"Runtime.CallbackHandlerDeprecated\"",
            ],
            ..PLAIN
        },
        Case {
            name: "a promise that is never settled",
            files: &[(
                "index.js",
                "exports.handler = async () => { await new Promise(() => {}); };",
            )],
            env: MODERN,
            outcome: Outcome::Fails("Runtime.NodeJsExit", "", ""),
            ..PLAIN
        },
    ]);
}

#[test]
fn context() {
    const CODE: &str = "
exports.handler = async (event, context) => {
  const left = context.getRemainingTimeInMillis();
  if (!(left > 0 && left <= 30000)) throw new Error(`${left}`);
  context.callbackWaitsForEmptyEventLoop = false;
  const { getRemainingTimeInMillis, ...rest } = context;
  return { ...rest, trace: process.env._X_AMZN_TRACE_ID };
};
";
    on_each(|node| {
        let function = Function::node(node, Start::Plain)
            .file("index.js", CODE)
            .env("AWS_EXECUTION_ENV", "AWS_Lambda_nodejs20.x");
        let mut running = function.start();
        let mut wanted = json!({
            "awsRequestId": REQUEST_ID, "invokedFunctionArn": ARN, "functionName": "under-test",
            "functionVersion": "$LATEST", "memoryLimitInMB": "128",
            "logGroupName": "/aws/lambda/under-test", "logStreamName": "2024/01/01/[$LATEST]abc",
            "callbackWaitsForEmptyEventLoop": false, "clientContext": {"custom": "é"},
            "identity": {"cognitoIdentityId": "id"}, "tenantId": "t", "trace": "Root=1-5",
        });
        let headers = [
            ("lambda-runtime-trace-id", "Root=1-5"),
            ("Lambda-Runtime-Client-Context", r#"{"custom":"é"}"#),
            (
                "Lambda-Runtime-Cognito-Identity",
                r#"{"cognitoIdentityId":"id"}"#,
            ),
            ("Lambda-Runtime-Aws-Tenant-Id", "t"),
        ];
        let body = running.invoke_with(b"{}", &headers).body;
        assert_eq!(
            serde_json::from_slice::<Value>(&body).expect("JSON"),
            wanted
        );
        for name in ["clientContext", "identity", "tenantId", "trace"] {
            wanted.as_object_mut().expect("an object").remove(name);
        }
        let body = running.invoke("{}").body;
        assert_eq!(
            serde_json::from_slice::<Value>(&body).expect("JSON"),
            wanted
        );
        let request = running.invoke_with(b"{}", &[("Lambda-Runtime-Client-Context", "{")]);
        check_error(
            "",
            &request,
            "Error",
            "Cannot parse ClientContext as json: SyntaxError",
            "",
        );
        let ended = running.finish();
        assert!(ended.status.success(), "{ended:?}");
    });
}

/// A pool that is emptied: no word, no error.
#[test]
fn a_process_that_is_never_used_ends_quietly() {
    on_each(|node| {
        let bootstrap = concat!(env!("CARGO_MANIFEST_DIR"), "/node/bootstrap.cjs");
        let output = std::process::Command::new(&node.path)
            .arg(bootstrap)
            .env("LAMBENT_POOL_FD", "0")
            .stdin(std::process::Stdio::null())
            .output()
            .expect("run it");
        assert!(output.status.success());
        assert_eq!((output.stdout, output.stderr), (Vec::new(), Vec::new()));
    });
}
