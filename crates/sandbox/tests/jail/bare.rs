//! Without isolation, the seam is the same.

use std::fs;

use lambent_sandbox::{Backend, Error, ExitStatus, bare::Bare};

use crate::{
    runtime_api::Client,
    world::{Scratch, finish, spec},
};

crate::tests![
    a_bootstrap_runs,
    a_python_function_answers,
    it_can_be_killed
];

async fn a_bootstrap_runs() {
    let scratch = Scratch::new();
    let bare = Bare::new(&scratch.0).expect("start");
    assert!(!bare.guarantees().missing.is_empty());
    let code = scratch.function("f", "#!/bin/sh\necho $LAMBDA_TASK_ROOT; exit 3\n");
    let template = bare.prepare(spec(code.clone())).await.expect("prepare");
    let (log, exit) = finish(template.start(Vec::new()).await.expect("start")).await;
    assert_eq!(
        (log, exit.status),
        (format!("{}\n", code.display()), ExitStatus::Code(3))
    );
    let template = bare
        .prepare(spec(scratch.directory("empty")))
        .await
        .expect("prepare");
    match template.start(Vec::new()).await {
        Err(Error::InvalidEntrypoint(text)) => assert!(text.contains("bootstrap"), "{text}"),
        _ => panic!("there is no bootstrap"),
    }
}

async fn a_python_function_answers() {
    let scratch = Scratch::new();
    let bare = Bare::new(&scratch.0).expect("start");
    let code = scratch.directory("code");
    let layer = scratch.directory("layer/python");
    fs::write(layer.join("helper.py"), "answer = 42\n").expect("write");
    fs::write(
        code.join("index.py"),
        "import helper\ndef handler(e, c): return helper.answer\n",
    )
    .expect("write");
    let mut spec = crate::interpreters::managed(&code, crate::interpreters::python());
    spec.layers = vec![scratch.0.join("layer")];
    let template = bare.prepare(spec).await.expect("prepare");
    let sandbox = template.start(Vec::new()).await.expect("start");
    let mut client = Client::accept(&sandbox.runtime_api).await;
    let answer = client.invoke("{}").await;
    assert_eq!(answer.body, b"42");
    drop(client);
    finish(sandbox).await;
}

async fn it_can_be_killed() {
    let scratch = Scratch::new();
    let bare = Bare::new(&scratch.0).expect("start");
    let code = scratch.function("f", "#!/bin/sh\nsleep 86400 & sleep 86400\n");
    let template = bare.prepare(spec(code)).await.expect("prepare");
    let sandbox = template.start(Vec::new()).await.expect("start");
    sandbox.control.freeze();
    sandbox.control.thaw();
    sandbox.control.kill();
    let (_, exit) = finish(sandbox).await;
    assert_eq!(exit.status, ExitStatus::Signal(9));
}
