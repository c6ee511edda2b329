//! Lists the runtime clients' files, to be embedded whole.

use std::{env, fmt::Write, fs, path::Path};

fn main() {
    let here = env::var("CARGO_MANIFEST_DIR").expect("set by cargo");
    let out = env::var("OUT_DIR").expect("set by cargo");
    for (folder, suffix) in [("python", "py"), ("node", "cjs")] {
        let list = list(&Path::new(&here).join(folder), suffix);
        fs::write(Path::new(&out).join(format!("{folder}_files.rs")), list).expect("write list");
        println!("cargo::rerun-if-changed={folder}");
    }
    println!("cargo::rerun-if-changed=build.rs");
}

/// The text of an array of names and contents.
fn list(folder: &Path, suffix: &str) -> String {
    let entries = fs::read_dir(folder).expect("read the client's folder");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("read entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|found| found == suffix));
    paths.sort();
    let mut text = String::from("&[\n");
    for path in paths {
        let name = path.file_name().and_then(|name| name.to_str()).expect("a plain name");
        writeln!(text, "    ({name:?}, include_bytes!({path:?})),").expect("write to a string");
    }
    text + "]\n"
}
