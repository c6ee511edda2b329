//! Python and Node.js functions on the host's interpreters.

use std::{fs, path::Path, process::Command, sync::Arc};

use lambent_sandbox::{Backend, Interpreter, Launch, Sandbox, Template, TemplateSpec};

use crate::{
    runtime_api::{Client, text},
    world::{World, spec, wait},
};

crate::tests![
    python_answers,
    python_environments_share_nothing,
    every_python_that_is_here,
    python_with_libraries_is_executed,
    python_without_its_zygote,
    node_answers,
    node_with_a_layer,
    node_with_options_is_executed,
    node_beyond_the_pool,
    node_environments_share_nothing,
];

fn interpreter(path: &str, ask: &[&str]) -> Interpreter {
    let output = Command::new(path)
        .args(ask)
        .output()
        .expect("the interpreter is installed");
    let version = text(&output.stdout)
        .trim()
        .trim_start_matches('v')
        .to_owned();
    Interpreter {
        path: path.into(),
        version,
        roots: Vec::new(),
        packages: None,
    }
}

pub fn python() -> Launch {
    let ask = ["-c", "import platform; print(platform.python_version())"];
    Launch::Python(interpreter("/usr/bin/python3", &ask))
}

fn node() -> Launch {
    Launch::Node(interpreter("/usr/bin/node", &["--version"]))
}

pub fn managed(code: &Path, launch: Launch) -> TemplateSpec {
    let mut spec = spec(code.to_owned());
    spec.launch = launch;
    spec.env = [
        ("_HANDLER", "index.handler"),
        ("LAMBDA_TASK_ROOT", "/var/task"),
        ("LAMBDA_RUNTIME_DIR", "/var/runtime"),
        ("PATH", "/usr/bin:/bin"),
        ("LANG", "en_US.UTF-8"),
        ("TZ", ":UTC"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_LAMBDA_FUNCTION_NAME", "f"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("FROM_TEMPLATE", "t"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    spec
}

const PYTHON: &str = r#"
import os, random, uuid, ctypes, json
count = 0
def handler(event, context):
    global count
    count += 1
    return {
        "event": event, "count": count, "uid": os.getuid(), "pid": os.getpid(), "cwd": os.getcwd(),
        "env": {k: os.environ.get(k) for k in ("FROM_TEMPLATE", "FROM_START", "HOME")},
        "random": random.random(), "uuid": str(uuid.uuid4()),
        "open": sorted(int(fd) for fd in os.listdir("/proc/self/fd")),
        "command": open("/proc/self/cmdline").read(),
        "id": context.aws_request_id,
    }
print("loaded")
"#;

const NODE: &str = r#"
const fs = require('fs');
let count = 0;
exports.handler = async (event, context) => {
  count += 1;
  return {
    event, count, uid: process.getuid(), pid: process.pid, cwd: process.cwd(),
    env: { FROM_TEMPLATE: process.env.FROM_TEMPLATE, FROM_START: process.env.FROM_START,
           POOL: process.env.LAMBENT_POOL_FD },
    random: Math.random(), uuid: require('crypto').randomUUID(),
    id: context.awsRequestId,
    pooled: fs.readFileSync('/proc/self/environ', 'latin1').includes('LAMBENT_POOL_FD'),
    written: (() => { try { fs.writeFileSync('/var/task/x', ''); } catch (e) { return e.code; } })(),
    layer: fs.existsSync('/opt/layer') && fs.readFileSync('/opt/layer', 'utf8'),
    open: fs.readdirSync('/proc/self/fd').map(fd => { try { return fs.readlinkSync('/proc/self/fd/' + fd); } catch (e) { return ''; } }),
    old: require('v8').getHeapStatistics().heap_size_limit >> 20,
    tmp: (fs.writeFileSync('/tmp/x', 'x'), fs.readdirSync('/tmp')),
    task: fs.readdirSync('/var/task'),
  };
};
console.log('loaded');
"#;

pub async fn start(template: &Arc<dyn Template>, from_start: &str) -> Sandbox {
    let env = vec![("FROM_START".into(), from_start.into())];
    template.start(env).await.expect("start")
}

/// Two calls in one environment: what the second answered, and the log.
pub async fn converse(sandbox: Sandbox) -> (String, String) {
    let mut client = Client::accept(&sandbox.runtime_api).await;
    client.invoke("{\"n\":1}").await;
    let response = client.invoke("{\"n\":2}").await;
    assert!(
        response.line.ends_with("/response HTTP/1.1"),
        "{}",
        text(&response.body)
    );
    drop(client);
    let ended = wait(sandbox).await;
    (text(&response.body), ended.log)
}

pub fn assert_has(answer: &str, parts: &[&str]) {
    let compact = answer.replace(": ", ":").replace(", ", ",");
    for part in parts {
        assert!(compact.contains(part), "{part} is not in {compact}");
    }
}

async fn python_answers() {
    let world = World::new().await;
    let code = world.scratch.directory("code");
    fs::write(code.join("index.py"), PYTHON).expect("write");
    let template = world
        .jail
        .prepare(managed(&code, python()))
        .await
        .expect("prepare");
    let (answer, log) = converse(start(&template, "s").await).await;
    assert_has(
        &answer,
        &[
            r#""event":{"n":2}"#,
            r#""count":2"#,
            r#""uid":993"#,
            r#""pid":2"#,
            r#""cwd":"/var/task""#,
            r#""FROM_TEMPLATE":"t""#,
            r#""FROM_START":"s""#,
            r#""HOME":null"#,
            r#""id":"8476a536-e9f4-11e8-9739-2dfe598c3fcd""#,
            // Streams, the Runtime API, and the directory being listed.
            r#""open":[0,1,2,3,4]"#,
            "zygote.py",
        ],
    );
    assert_eq!(log, "loaded\n");
    world.end().await;
}

/// The zygote's jail code is one build for all versions.
async fn every_python_that_is_here() {
    let world = World::new().await;
    let code = world.scratch.directory("code");
    fs::write(code.join("index.py"), PYTHON).expect("write");
    let home = std::env::var("HOME").unwrap_or_default();
    let versions = Path::new(&home).join(".pyenv/versions");
    let installed = fs::read_dir(&versions).into_iter().flatten().flatten();
    let installed = installed.map(|entry| entry.path());
    for prefix in installed.chain(["/usr".into()]) {
        for minor in 9..=14 {
            let path = prefix.join(format!("bin/python3.{minor}"));
            if !path.exists() {
                continue;
            }
            let mut interpreter = interpreter(
                &path.to_string_lossy(),
                &["-c", "print(__import__('sys').version)"],
            );
            if prefix != Path::new("/usr") {
                interpreter.roots.push(prefix.clone());
            }
            let spec = managed(&code, Launch::Python(interpreter));
            let template = world.jail.prepare(spec).await.expect("prepare");
            let (answer, _) = converse(start(&template, "s").await).await;
            assert_has(
                &answer,
                &["zygote.py", r#""count":2"#, r#""FROM_START":"s""#],
            );
        }
    }
    world.end().await;
}

/// What has a say in the start of an interpreter is honoured, by executing it.
async fn python_with_libraries_is_executed() {
    let world = World::new().await;
    let code = world.scratch.directory("code");
    fs::write(code.join("index.py"), PYTHON).expect("write");
    fs::create_dir(code.join("lib")).expect("make directory");
    fs::write(code.join("lib/libnothing.so"), "").expect("write");
    let mut spec = managed(&code, python());
    spec.env
        .push(("LD_LIBRARY_PATH".into(), "/var/task/lib".into()));
    let template = world.jail.prepare(spec).await.expect("prepare");
    let (answer, _) = converse(start(&template, "s").await).await;
    assert_has(
        &answer,
        &["bootstrap.py", r#""pid":2"#, r#""open":[0,1,2,3,4]"#],
    );
    assert!(!answer.contains("zygote"), "{answer}");
    world.end().await;
}

/// A zygote that dies is replaced; meanwhile interpreters are executed.
async fn python_without_its_zygote() {
    let world = World::new().await;
    let code = world.scratch.directory("code");
    fs::write(code.join("index.py"), PYTHON).expect("write");
    let template = world
        .jail
        .prepare(managed(&code, python()))
        .await
        .expect("prepare");
    let (answer, _) = converse(start(&template, "1").await).await;
    assert_has(&answer, &["zygote.py"]);
    for pid in crate::processes::ours_mentioning("/var/runtime/zygote.py") {
        crate::processes::kill(pid);
    }
    let (answer, _) = converse(start(&template, "2").await).await;
    assert_has(&answer, &[r#""FROM_START":"2""#, r#""pid":2"#]);
    world.end().await;
}

async fn python_environments_share_nothing() {
    let world = World::new().await;
    let code = world.scratch.directory("code");
    fs::write(code.join("index.py"), PYTHON).expect("write");
    let template = world
        .jail
        .prepare(managed(&code, python()))
        .await
        .expect("prepare");
    differ(&template).await;
    world.end().await;
}

/// Starts until an environment comes from the pool, which fills in the background.
async fn pooled(template: &Arc<dyn Template>) -> (String, String) {
    for _ in 0..100 {
        let (answer, log) = converse(start(template, "s").await).await;
        if answer.contains("\"pooled\":true") {
            return (answer, log);
        }
    }
    panic!("the pool is never used");
}

async fn node_answers() {
    let world = World::new().await;
    let code = world.scratch.directory("code");
    fs::write(code.join("index.js"), NODE).expect("write");
    let template = world
        .jail
        .prepare(managed(&code, node()))
        .await
        .expect("prepare");
    let (answer, log) = pooled(&template).await;
    assert_has(
        &answer,
        &[
            r#""event":{"n":2}"#,
            r#""count":2"#,
            r#""uid":993"#,
            r#""cwd":"/var/task""#,
            r#""FROM_TEMPLATE":"t""#,
            r#""FROM_START":"s""#,
            r#""tmp":["x"]"#,
            r#""task":["index.js"]"#,
            r#""id":"8476a536-e9f4-11e8-9739-2dfe598c3fcd""#,
        ],
    );
    assert_has(
        &answer,
        &[
            r#""pooled":true"#,
            r#""written":"EROFS""#,
            r#""layer":false"#,
        ],
    );
    // Neither the line nor anything of the station's is left open.
    assert!(!answer.contains("\"POOL\""), "{answer}");
    assert_eq!(
        answer.matches("socket:").count(),
        1,
        "the Runtime API's: {answer}"
    );
    assert!(log.ends_with("loaded\n"), "{log}");
    world.end().await;
}

async fn node_with_a_layer() {
    let world = World::new().await;
    let code = world.scratch.directory("code");
    fs::write(code.join("index.js"), NODE).expect("write");
    let layer = world.scratch.directory("layer");
    fs::write(layer.join("layer"), "of the layer").expect("write");
    let mut spec = managed(&code, node());
    spec.layers = vec![layer];
    let template = world.jail.prepare(spec).await.expect("prepare");
    let (answer, _) = pooled(&template).await;
    assert_has(&answer, &[r#""pooled":true"#, r#""layer":"of the layer""#]);
    world.end().await;
}

/// What has a say in how Node.js boots is honoured, by executing it.
async fn node_with_options_is_executed() {
    let world = World::new().await;
    let code = world.scratch.directory("code");
    fs::write(code.join("index.js"), NODE).expect("write");
    for change in [
        (|spec| {
            spec.env
                .push(("NODE_OPTIONS".into(), "--no-warnings".into()))
        }) as fn(&mut TemplateSpec),
        |spec| spec.tmp_mb = 1024,
    ] {
        let mut spec = managed(&code, node());
        change(&mut spec);
        let template = world.jail.prepare(spec).await.expect("prepare");
        let (answer, _) = converse(start(&template, "s").await).await;
        assert_has(&answer, &[r#""pooled":false"#, r#""FROM_START":"s""#]);
    }
    world.end().await;
}

/// More starts than the pool has processes: the rest is executed, and all answer.
async fn node_beyond_the_pool() {
    let world = World::new().await;
    let code = world.scratch.directory("code");
    fs::write(code.join("index.js"), NODE).expect("write");
    let template = world
        .jail
        .prepare(managed(&code, node()))
        .await
        .expect("prepare");
    let starts = (0..8).map(|number| {
        let template = template.clone();
        tokio::spawn(async move {
            let number = number.to_string();
            let (answer, _) = converse(start(&template, &number).await).await;
            assert_has(
                &answer,
                &[&format!(r#""FROM_START":"{number}""#), r#""count":2"#],
            );
        })
    });
    for start in starts.collect::<Vec<_>>() {
        start.await.expect("no panic");
    }
    world.end().await;
}

async fn node_environments_share_nothing() {
    let world = World::new().await;
    let code = world.scratch.directory("code");
    fs::write(code.join("index.js"), NODE).expect("write");
    let template = world
        .jail
        .prepare(managed(&code, node()))
        .await
        .expect("prepare");
    differ(&template).await;
    world.end().await;
}

/// Two environments of a version: each counts for itself, and chance is not the same in both.
async fn differ(template: &Arc<dyn Template>) {
    let (first, _) = converse(start(template, "1").await).await;
    let (second, _) = converse(start(template, "2").await).await;
    assert_has(&first, &[r#""count":2"#, r#""FROM_START":"1""#]);
    assert_has(&second, &[r#""count":2"#, r#""FROM_START":"2""#]);
    for key in ["random", "uuid"] {
        let value = |answer: &str| {
            let from = answer
                .find(&format!("\"{key}\""))
                .expect("the key is there");
            answer[from..]
                .split(',')
                .next()
                .expect("a value")
                .to_owned()
        };
        assert_ne!(value(&first), value(&second), "{key}");
    }
}
