//! The way to what listens inside an environment.

use std::io::ErrorKind;

use lambent_sandbox::Inward;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{World, python};

crate::tests![
    who_listens_inside_is_reached_frozen_or_not,
    each_reaches_its_own
];

/// Listens, says so by a connection to the Runtime API, and gives each who comes its word.
const LISTENS: &str = r#"
import os, socket
listener = socket.create_server(("sandbox.localdomain", 8123))
socket.create_connection(("127.0.0.1", 9001))
while True:
    connection, _ = listener.accept()
    connection.sendall(WORD)
    connection.close()
"#;

async fn hear(inward: &dyn Inward) -> String {
    let mut connection = inward.connect(8123).await.expect("connect");
    let mut heard = String::new();
    connection.read_to_string(&mut heard).await.expect("read");
    heard
}

async fn who_listens_inside_is_reached_frozen_or_not() {
    let world = World::new().await;
    let sandbox = python(&world, &LISTENS.replace("WORD", "b'one'")).await;
    sandbox.runtime_api.accept().await.expect("it listens");
    let inward = sandbox.inward.clone();
    assert_eq!(hear(&*inward).await, "one");
    let refused = inward.connect(8124).await.expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);

    sandbox.control.freeze();
    let mut connection = inward.connect(8123).await.expect("connect");
    connection.write_all(b"x").await.expect("write");
    sandbox.control.thaw();
    let mut word = [0; 3];
    connection.read_exact(&mut word).await.expect("read");
    assert_eq!(&word, b"one");

    sandbox.control.kill();
    sandbox.exit.await.expect("an exit");
    let gone = inward.connect(8123).await.expect_err("it is gone");
    assert_eq!(gone.kind(), ErrorKind::NotConnected);
    world.end().await;
}

async fn each_reaches_its_own() {
    let world = World::new().await;
    // One after the other, as both scripts are the same file.
    let one = python(&world, &LISTENS.replace("WORD", "b'one'")).await;
    one.runtime_api.accept().await.expect("it listens");
    let two = python(&world, &LISTENS.replace("WORD", "b'two'")).await;
    two.runtime_api.accept().await.expect("it listens");
    assert_eq!(hear(&*one.inward).await, "one");
    assert_eq!(hear(&*two.inward).await, "two");
    world.end().await;
}
