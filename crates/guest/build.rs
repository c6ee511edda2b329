//! Lists the runtime clients' files, to be embedded whole, and compiles the zygote's jail code into
//! an extension module for CPython.

use std::{env, fmt::Write, fs, path::Path, process::Command};

fn main() {
    let here = env::var("CARGO_MANIFEST_DIR").expect("set by cargo");
    let out = env::var("OUT_DIR").expect("set by cargo");
    for (folder, suffix) in [("python", "py"), ("node", "cjs")] {
        let list = list(&Path::new(&here).join(folder), suffix);
        fs::write(Path::new(&out).join(format!("{folder}_files.rs")), list).expect("write list");
        println!("cargo::rerun-if-changed={folder}");
    }
    extension(&Path::new(&here).join("src"), Path::new(&out));
    println!("cargo::rerun-if-changed=build.rs");
}

/// A shared library for the target, small and of its own: it is not linked with what cargo builds.
fn extension(sources: &Path, out: &Path) {
    let source = sources.join("python_extension.rs");
    println!("cargo::rerun-if-changed={}", source.display());
    println!("cargo::rerun-if-changed={}", sources.join("jail").display());
    let mut command = Command::new(env::var_os("RUSTC").expect("set by cargo"));
    command
        .args([
            "--edition",
            "2024",
            "--crate-name",
            "_lambent",
            "--crate-type",
            "cdylib",
        ])
        .args([
            "-C",
            "opt-level=s",
            "-C",
            "panic=abort",
            "-C",
            "strip=symbols",
        ])
        // Python's functions are found when it is loaded.
        .args(["-C", "link-arg=-Wl,--unresolved-symbols=ignore-all"])
        .args(["--target", &env::var("TARGET").expect("set by cargo")])
        .arg("-o")
        .arg(out.join("_lambent.abi3.so"))
        .arg(source);
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        let mut option = std::ffi::OsString::from("linker=");
        option.push(linker);
        command.arg("-C").arg(option);
    }
    let status = command.status().expect("run the compiler");
    assert!(status.success(), "the extension does not compile");
}

/// The text of an array of names and contents.
fn list(folder: &Path, suffix: &str) -> String {
    let entries = fs::read_dir(folder).expect("read the client's folder");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("read entry").path())
        .collect();
    paths.retain(|path| path.extension().is_some_and(|found| found == suffix));
    paths.sort();
    let mut text = String::from("&[\n");
    for path in paths {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a plain name");
        writeln!(text, "    ({name:?}, include_bytes!({path:?})),").expect("write to a string");
    }
    text + "]\n"
}
