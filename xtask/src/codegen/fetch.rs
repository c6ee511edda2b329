//! Reads AWS's service models anew from botocore's wheel, at the pinned version, and vendors them
//! without their documentation.
//!
//! The wheel comes through pip, with whatever registry the machine has configured.

use std::{
    fs::{self, File},
    io::{BufReader, Read},
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, bail};
use flate2::read::GzDecoder;
use serde_json::Value;
use zip::ZipArchive;

use super::{SERVICES, models};

const BOTOCORE: &str = "1.44.5";

/// Downloads the wheel and writes `models/<service>.json` for every service.
pub fn fetch() -> Result<()> {
    let dir = tempfile::tempdir().context("make a scratch directory")?;
    let status = Command::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--no-deps", "--dest"])
        .arg(dir.path())
        .arg(format!("botocore=={BOTOCORE}"))
        .status()
        .context("start pip")?;
    if !status.success() {
        bail!("pip does not get botocore {BOTOCORE}");
    }
    let wheel = dir
        .path()
        .join(format!("botocore-{BOTOCORE}-py3-none-any.whl"));
    let wheel = File::open(&wheel).with_context(|| format!("open {}", wheel.display()))?;
    let mut wheel = ZipArchive::new(BufReader::new(wheel)).context("read the wheel")?;
    for (service, _) in SERVICES {
        let model = strip(newest(&mut wheel, service)?);
        write(&models().join(format!("{service}.json")), &model)?;
    }
    Ok(())
}

/// The newest version of a service's model.
fn newest(wheel: &mut ZipArchive<BufReader<File>>, service: &str) -> Result<Value> {
    let prefix = format!("botocore/data/{service}/");
    let newest = wheel
        .file_names()
        .filter_map(Result::ok)
        .filter(|name| name.starts_with(&prefix) && name.ends_with("/service-2.json.gz"))
        .max()
        .map(std::borrow::Cow::into_owned)
        .with_context(|| format!("no model of {service} in the wheel"))?;
    let mut text = String::new();
    GzDecoder::new(wheel.by_name(&newest)?).read_to_string(&mut text)?;
    serde_json::from_str(&text).with_context(|| format!("parse {newest}"))
}

/// Leaves out prose, of shapes and members alike; a member that is named `documentation` is an
/// object and stays.
fn strip(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let facts = map
                .into_iter()
                .filter(|(k, v)| k != "documentation" || !v.is_string());
            Value::Object(facts.map(|(k, v)| (k, strip(v))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(strip).collect()),
        other => other,
    }
}

/// One line for each operation and shape: small, and a diff says what has changed.
fn write(path: &Path, model: &Value) -> Result<()> {
    let model = model.as_object().context("a model is an object")?;
    let mut out = String::from("{\n");
    for (n, (section, value)) in model.iter().enumerate() {
        let comma = if n + 1 < model.len() { "," } else { "" };
        match value
            .as_object()
            .filter(|_| matches!(section.as_str(), "operations" | "shapes"))
        {
            None => out.push_str(&format!("\"{section}\":{value}{comma}\n")),
            Some(entries) => {
                out.push_str(&format!("\"{section}\":{{\n"));
                for (n, (name, value)) in entries.iter().enumerate() {
                    let comma = if n + 1 < entries.len() { "," } else { "" };
                    out.push_str(&format!("\"{name}\":{value}{comma}\n"));
                }
                out.push_str(&format!("}}{comma}\n"));
            }
        }
    }
    out.push_str("}\n");
    fs::write(path, out).with_context(|| format!("write {}", path.display()))
}
