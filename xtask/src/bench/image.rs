//! A container image of a few files, as an OCI image layout: what `oci:DIRECTORY` leads to.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::exec;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Writes an image of one layer, whose entry point is its first file.
pub fn layout(dir: &Path, files: &[(&'static str, Vec<u8>, u32)]) -> Result<()> {
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs).context("make an image layout")?;
    let layer = tar(dir, files)?;
    let (diff_id, layer) = blob(&blobs, LAYER, &layer)?;
    let entry = files.first().map(|(name, ..)| format!("/{name}"));
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": {"Entrypoint": [entry]},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    });
    let (_, config) = blob(&blobs, CONFIG, config.to_string().as_bytes())?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config,
        "layers": [layer],
    });
    let (_, manifest) = blob(&blobs, MANIFEST, manifest.to_string().as_bytes())?;
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest]});
    write(&dir.join("index.json"), index.to_string().as_bytes())?;
    write(
        &dir.join("oci-layout"),
        br#"{"imageLayoutVersion":"1.0.0"}"#,
    )
}

fn tar(dir: &Path, files: &[(&'static str, Vec<u8>, u32)]) -> Result<Vec<u8>> {
    use std::os::unix::fs::PermissionsExt;
    let root = dir.join("root");
    fs::create_dir_all(&root).context("make an image's root")?;
    for (name, content, mode) in files {
        let path = root.join(name);
        write(&path, content)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).context("set a mode")?;
    }
    let archive = dir.join("layer.tar");
    let mut command = Command::new("tar");
    command
        .arg("-cf")
        .arg(&archive)
        .arg("-C")
        .arg(&root)
        .arg(".");
    exec::run(&mut command)?;
    fs::read(&archive).context("read a layer")
}

/// Stores a blob under its digest, which it gives with a descriptor.
fn blob(blobs: &Path, media_type: &str, content: &[u8]) -> Result<(String, Value)> {
    let draft = blobs.join("draft");
    write(&draft, content)?;
    let sum = exec::output(Command::new("sha256sum").arg(&draft))?;
    let hex = sum
        .split_whitespace()
        .next()
        .context("no digest")?
        .to_owned();
    fs::rename(&draft, blobs.join(&hex)).context("name a blob")?;
    let digest = format!("sha256:{hex}");
    let descriptor = json!({"mediaType": media_type, "digest": digest, "size": content.len()});
    Ok((digest, descriptor))
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    fs::write(path, content).with_context(|| format!("write {}", path.display()))
}
