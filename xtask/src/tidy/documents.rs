//! Rules for documents: the map's paths exist, links lead somewhere, the changelog goes on.

use std::collections::BTreeSet;

use super::{File, Finding};

/// Every path that ARCHITECTURE.md names in backticks is there.
pub fn map_paths(files: &[File]) -> Vec<Finding> {
    let Some(map) = files.iter().find(|file| file.path == "ARCHITECTURE.md") else {
        return Vec::new();
    };
    let there = places(files);
    let mut findings = Vec::new();
    for (index, line) in prose(map) {
        for path in backticked(line).filter(|word| looks_like_path(word, &there)) {
            if !exists(path, &there) {
                findings.push(Finding::new(
                    map,
                    index + 1,
                    format!("`{path}` does not exist"),
                ));
            }
        }
    }
    findings
}

/// Links in documents to files of the repository lead to files.
pub fn links(files: &[File]) -> Vec<Finding> {
    let there = places(files);
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.extension() == "md") {
        let dir = file.path.rsplit_once('/').map_or("", |(dir, _)| dir);
        for (index, line) in prose(file) {
            for target in link_targets(line).filter(|target| is_local(target)) {
                if !resolve(dir, target).is_some_and(|path| exists(&path, &there)) {
                    findings.push(Finding::new(
                        file,
                        index + 1,
                        format!("`{target}` leads nowhere"),
                    ));
                }
            }
        }
    }
    findings
}

/// The changelog is there and has room for the next line.
pub fn changelog(files: &[File]) -> Option<Finding> {
    let Some(file) = files.iter().find(|file| file.path == "CHANGELOG.md") else {
        let what = "is missing".to_owned();
        return Some(Finding {
            path: "CHANGELOG.md".to_owned(),
            line: 0,
            what,
        });
    };
    let text = file.text.as_deref().unwrap_or("");
    let open = text
        .lines()
        .any(|line| line.starts_with("## ") && line.contains("Unreleased"));
    (!open).then(|| Finding::whole(file, "has no section `## Unreleased`"))
}

/// Files and the folders they are in.
fn places(files: &[File]) -> BTreeSet<&str> {
    let mut places = BTreeSet::new();
    for file in files {
        let mut path = file.path.as_str();
        places.insert(path);
        while let Some((dir, _)) = path.rsplit_once('/') {
            places.insert(dir);
            path = dir;
        }
    }
    places
}

fn exists(path: &str, there: &BTreeSet<&str>) -> bool {
    let path = path.trim_end_matches('/');
    path.is_empty() || there.contains(path)
}

/// Lines outside fenced blocks.
fn prose(file: &File) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    file.text
        .as_deref()
        .unwrap_or("")
        .lines()
        .enumerate()
        .filter(move |(_, line)| {
            let fence = line.trim_start().starts_with("```");
            fenced ^= fence;
            !fenced && !fence
        })
}

fn backticked(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// A path has a slash, no blanks or placeholders, and begins in a folder that is there or ends as
/// source does; `application/json` and `POST /x` are none.
fn looks_like_path(word: &str, there: &BTreeSet<&str>) -> bool {
    const SOURCE: [&str; 6] = [".rs", ".py", ".md", ".toml", ".sql", ".json"];
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let begins = word
        .split('/')
        .next()
        .is_some_and(|first| there.contains(first));
    word.contains('/')
        && word.chars().all(plain)
        && !word.starts_with(['/', '.'])
        && (begins || SOURCE.iter().any(|end| word.ends_with(end)))
}

fn link_targets(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("](")
        .filter_map(|(at, open)| line[at + open.len()..].split(')').next())
}

fn is_local(target: &str) -> bool {
    !target.contains("://") && !target.starts_with("mailto:") && !target.starts_with('#')
}

/// A link's target from the repository's root; `None` where it leads out of it.
fn resolve(dir: &str, target: &str) -> Option<String> {
    let target = target.split(['#', ' ']).next().unwrap_or("");
    let mut parts: Vec<&str> = dir.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{file, lines},
        *,
    };

    #[test]
    fn the_map_names_what_is_there() {
        let map = "\
`crates/a/src/lib.rs` and `crates/a/` and `POST /x` and `application/json`
`crates/a/src/gone.rs`
`else/where.rs`
`a/<id>/b.rs` `--flag/x` `lib.rs`
```
`crates/in/a/block.rs`
```
";
        let files = [
            file("ARCHITECTURE.md", map),
            file("crates/a/src/lib.rs", ""),
        ];
        assert_eq!(lines(map_paths(&files)), [2, 3]);
        assert!(map_paths(&files[1..]).is_empty());
    }

    #[test]
    fn links_lead_somewhere() {
        let text = "\
[a](../LICENSE) [b](other.md#part) [c](https://example.com/x) [d](#here)
[e](gone.md)
[f](../../outside)
";
        let files = [
            file("docs/a.md", text),
            file("docs/other.md", ""),
            file("LICENSE", ""),
        ];
        assert_eq!(lines(links(&files)), [2, 3]);
    }

    #[test]
    fn the_changelog_stays_open() {
        assert!(changelog(&[]).is_some());
        assert!(changelog(&[file("CHANGELOG.md", "# Changelog\n## 0.1.0\n")]).is_some());
        assert!(changelog(&[file("CHANGELOG.md", "# Changelog\n## Unreleased\n")]).is_none());
    }
}
