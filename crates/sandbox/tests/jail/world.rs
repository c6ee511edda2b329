//! What tests have in common: a jail on a scratch directory, functions written on the spot, and a
//! Runtime API just large enough to talk to them.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use tokio::io::AsyncReadExt;

use lambent_sandbox::{
    Backend, Control, Exit, Launch, NetworkPolicy, Sandbox, Template, TemplateSpec,
    jail::{Jail, JailConfig},
};

/// A directory that goes away with it.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir =
            std::env::temp_dir().join(format!("lambent-jail-{}-{number}", std::process::id()));
        fs::create_dir_all(&dir).expect("make scratch directory");
        Scratch(dir)
    }

    /// A directory with one executable file of this text.
    pub fn function(&self, name: &str, bootstrap: &str) -> PathBuf {
        let dir = self.directory(name);
        write_executable(&dir.join("bootstrap"), bootstrap);
        dir
    }

    pub fn directory(&self, name: &str) -> PathBuf {
        let dir = self.0.join(name);
        fs::create_dir_all(&dir).expect("make directory");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).expect("open it");
        dir
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn write_executable(path: &Path, text: &str) {
    fs::write(path, text).expect("write");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("make executable");
}

pub struct World {
    pub jail: Jail,
    pub scratch: Scratch,
}

impl World {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut JailConfig)) -> Self {
        let scratch = Scratch::new();
        let mut config = JailConfig::new(scratch.0.join("jail"));
        config.slots_ahead = 2;
        change(&mut config);
        let jail = Jail::start(config).await.expect("the jail starts");
        World { jail, scratch }
    }

    /// A shell script as a function.
    pub async fn script(&self, text: &str) -> Arc<dyn Template> {
        let code = self
            .scratch
            .function("script", &format!("#!/bin/sh\n{text}\n"));
        self.jail.prepare(spec(code)).await.expect("prepare")
    }

    /// Runs a shell script to its end: its output and how it ended.
    pub async fn run(&self, text: &str) -> (String, Exit) {
        let sandbox = self
            .script(text)
            .await
            .start(Vec::new())
            .await
            .expect("start");
        finish(sandbox).await
    }

    /// Everything ended, and nothing left.
    pub async fn end(self) {
        self.jail.shutdown().await;
    }
}

pub fn spec(code: PathBuf) -> TemplateSpec {
    TemplateSpec {
        label: "test".into(),
        launch: Launch::Bootstrap,
        code,
        layers: Vec::new(),
        env: vec![(
            "PATH".into(),
            "/usr/local/bin:/usr/bin:/bin:/opt/bin".into(),
        )],
        memory_mb: 256,
        tmp_mb: 512,
        network: NetworkPolicy::Off,
    }
}

/// Starts a Python script as a function.
pub async fn python(world: &World, text: &str) -> Sandbox {
    let code = world
        .scratch
        .function("python", &format!("#!/usr/bin/python3 -IS\n{text}"));
    let template = world.jail.prepare(spec(code)).await.expect("prepare");
    template.start(Vec::new()).await.expect("start")
}

/// What is left of an environment once it has ended.
pub struct Ended {
    pub log: String,
    pub exit: Exit,
    pub control: Box<dyn Control>,
}

/// Waits for the end, reading along.
pub async fn finish(sandbox: Sandbox) -> (String, Exit) {
    let ended = wait(sandbox).await;
    (ended.log, ended.exit)
}

/// Waits for the end, reading along; the handle stays.
pub async fn wait(sandbox: Sandbox) -> Ended {
    let Sandbox {
        log,
        exit,
        control,
        runtime_api: _,
        platform: _,
        extension_log: _,
        inward: _,
    } = sandbox;
    let log = tokio::net::unix::pipe::Receiver::from_owned_fd(log).expect("a pipe");
    let reader = tokio::spawn(read(log));
    let exit = exit.await.expect("an exit");
    Ended {
        log: reader.await.expect("the log"),
        exit,
        control,
    }
}

async fn read(mut log: tokio::net::unix::pipe::Receiver) -> String {
    let mut text = Vec::new();
    log.read_to_end(&mut text).await.expect("read the log");
    String::from_utf8_lossy(&text).into_owned()
}

/// What an environment has written that is gone and has not ended: its snapshot lives.
pub async fn said(sandbox: Sandbox) -> String {
    let log = tokio::net::unix::pipe::Receiver::from_owned_fd(sandbox.log).expect("a pipe");
    read(log).await
}
