//! Rules for Cargo manifests: one licence, and dependencies named once, in the workspace.

use super::{File, Finding};

const LICENCE: &str = "Apache-2.0";

/// Every package says its licence.
pub fn licence(file: &File) -> Option<Finding> {
    let text = manifest(file)?;
    let is_package = text.lines().any(|line| line.trim() == "[package]");
    let named = text.lines().any(|line| {
        let line = line.replace(' ', "");
        line == "license.workspace=true" || line == format!("license=\"{LICENCE}\"")
    });
    (is_package && !named).then(|| Finding::whole(file, "names no licence"))
}

/// The workspace's members take dependencies, with their versions, from the workspace.
pub fn workspace_dependencies(file: &File) -> Vec<Finding> {
    let member = file.path.starts_with("crates/") || file.path.starts_with("xtask/");
    let Some(text) = manifest(file).filter(|_| member) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    let mut section = Section::Other;
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or("").trim();
        if let Some(header) = line.strip_prefix('[') {
            section = Section::of(header.trim_end_matches(']'));
            if let Section::OneDependency(name) = &section {
                let what = format!("write `{name}` in one line, from the workspace");
                findings.push(Finding::new(file, index + 1, what));
            }
        } else if section == Section::Dependencies && !line.is_empty() && !from_workspace(line) {
            let what = "takes its version not from the workspace (`name.workspace = true`)";
            findings.push(Finding::new(file, index + 1, what));
        }
    }
    findings
}

fn manifest(file: &File) -> Option<&str> {
    file.written().filter(|_| file.name() == "Cargo.toml")
}

fn from_workspace(line: &str) -> bool {
    let line = line.replace(' ', "");
    line.contains(".workspace=true") || line.contains("{workspace=true")
}

#[derive(PartialEq, Eq)]
enum Section {
    Dependencies,
    OneDependency(String),
    Other,
}

impl Section {
    fn of(header: &str) -> Self {
        const KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];
        let ends_in = |text: &str| {
            KINDS
                .iter()
                .any(|kind| text.rsplit('.').next() == Some(kind))
        };
        if ends_in(header) {
            return Section::Dependencies;
        }
        match header.rsplit_once('.') {
            Some((table, name)) if ends_in(table) => Section::OneDependency(name.to_owned()),
            _ => Section::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{file, lines},
        *,
    };

    #[test]
    fn packages_name_their_licence() {
        let check = |text| licence(&file("examples/a/Cargo.toml", text)).is_some();
        assert!(check("[package]\nname = \"a\"\n"));
        assert!(!check("[package]\nlicense = \"Apache-2.0\"\n"));
        assert!(!check("[package]\nlicense.workspace = true\n"));
        assert!(!check("[workspace]\n"));
    }

    #[test]
    fn members_take_versions_from_the_workspace() {
        let text = "\
[package]
version = \"1\"
[dependencies]
a.workspace = true
b = { workspace = true, features = [\"x\"] }
c = \"1\"
# d = \"1\"
[target.'cfg(unix)'.dev-dependencies]
e = { path = \"../e\" }
[dependencies.f]
version = \"1\"
";
        let check = |path| lines(workspace_dependencies(&file(path, text)));
        assert_eq!(check("crates/a/Cargo.toml"), [6, 9, 10]);
        assert_eq!(check("examples/a/Cargo.toml"), [0; 0]);
    }
}
