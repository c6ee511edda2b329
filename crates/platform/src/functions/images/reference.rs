//! Where an image is: in a registry, or in a directory or file of the operator's.

use std::path::PathBuf;

use store::BlobHash;

/// `ImageUri`, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    Registry(RegistryReference),
    /// `oci:/path[:tag]`: a directory in OCI's image layout.
    Layout {
        path: PathBuf,
        tag: Option<String>,
    },
    /// `docker-archive:/path.tar`: what `docker save` writes.
    Archive {
        path: PathBuf,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryReference {
    /// With its port if it has one.
    pub host: String,
    /// E.g. `team/app`.
    pub repository: String,
    pub version: Version,
    /// What comes before the tag or digest, as it was given.
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    Tag(String),
    Digest(BlobHash),
}

impl Version {
    /// As a registry's paths have it.
    pub fn text(&self) -> String {
        match self {
            Self::Tag(tag) => tag.clone(),
            Self::Digest(digest) => format!("sha256:{digest}"),
        }
    }
}

const HOST_OF_DOCKER: &str = "registry-1.docker.io";
const TAG_LENGTH_MAX: usize = 128;
const REPOSITORY_LENGTH_MAX: usize = 255;

impl Reference {
    /// None where the text names no image.
    pub fn parse(uri: &str) -> Option<Self> {
        if let Some(rest) = uri.strip_prefix("oci:") {
            let (path, tag) = match rest.rsplit_once(':') {
                Some((path, tag)) if is_tag(tag) => (path, Some(tag.to_owned())),
                Some(_) => return None,
                None => (rest, None),
            };
            let path = absolute(path)?;
            return Some(Self::Layout { path, tag });
        }
        if let Some(path) = uri.strip_prefix("docker-archive:") {
            let path = absolute(path)?;
            return Some(Self::Archive { path });
        }
        RegistryReference::parse(uri).map(Self::Registry)
    }
}

fn absolute(path: &str) -> Option<PathBuf> {
    let good = path.starts_with('/') && !path.contains('\0');
    good.then(|| PathBuf::from(path))
}

impl RegistryReference {
    fn parse(uri: &str) -> Option<Self> {
        let (name, digest) = match uri.split_once('@') {
            Some((name, digest)) => {
                let digest = digest.strip_prefix("sha256:")?.parse().ok()?;
                (name, Some(Version::Digest(digest)))
            }
            None => (uri, None),
        };
        // A colon behind the last slash is a tag's, one before it a port's.
        let slash = name.rfind('/').map_or(0, |at| at + 1);
        let (name, tag) = match name[slash..].split_once(':') {
            Some((last, tag)) => (&name[..slash + last.len()], Some(tag)),
            None => (name, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return None;
        }
        let (host, repository) = match name.split_once('/') {
            Some((host, rest)) if is_host(host) => (host, rest.to_owned()),
            Some(_) => (HOST_OF_DOCKER, name.to_owned()),
            None => (HOST_OF_DOCKER, format!("library/{name}")),
        };
        let host = match host {
            "docker.io" | "index.docker.io" => HOST_OF_DOCKER,
            other => other,
        };
        let tag = || Version::Tag(tag.unwrap_or("latest").to_owned());
        is_repository(&repository).then(|| Self {
            host: host.to_owned(),
            repository,
            version: digest.unwrap_or_else(tag),
            name: name.to_owned(),
        })
    }
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    let first = tag.bytes().next();
    first.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
        && tag.bytes().all(word)
        && tag.len() <= TAG_LENGTH_MAX
}

/// Tells a registry from the first part of a name on Docker's own.
fn is_host(part: &str) -> bool {
    let looks = part.contains('.') || part.contains(':') || part == "localhost";
    looks
        && part
            .parse::<http::uri::Authority>()
            .is_ok_and(|host| !host.as_str().contains('@'))
}

fn is_repository(name: &str) -> bool {
    let part = |part: &str| {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
        part.bytes().all(good)
            && part
                .bytes()
                .next()
                .is_some_and(|b| b.is_ascii_alphanumeric())
    };
    name.len() <= REPOSITORY_LENGTH_MAX && name.split('/').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uri: &str, host: &str, repository: &str, version: &str, name: &str) {
        match Reference::parse(uri) {
            Some(Reference::Registry(found)) => {
                let shown = found.version.text();
                let all = (&*found.host, &*found.repository, &*shown, &*found.name);
                assert_eq!(all, (host, repository, version, name), "{uri}");
            }
            other => panic!("{uri}: {other:?}"),
        }
    }

    #[test]
    fn images_are_named_as_everywhere() {
        let docker = "registry-1.docker.io";
        check("alpine", docker, "library/alpine", "latest", "alpine");
        check("team/app:1.2", docker, "team/app", "1.2", "team/app");
        check(
            "docker.io/team/app",
            docker,
            "team/app",
            "latest",
            "docker.io/team/app",
        );
        let ecr = "111111111111.dkr.ecr.us-east-1.amazonaws.com";
        let name = format!("{ecr}/app");
        check(&format!("{name}:prod"), ecr, "app", "prod", &name);
        check(
            "localhost/app",
            "localhost",
            "app",
            "latest",
            "localhost/app",
        );
        let local = "127.0.0.1:5000/a/b";
        check(local, "127.0.0.1:5000", "a/b", "latest", local);
        let digest = format!("sha256:{}", "ab".repeat(32));
        let pinned = format!("{local}:old@{digest}");
        check(&pinned, "127.0.0.1:5000", "a/b", &digest, local);
    }

    #[test]
    fn paths_are_absolute() {
        let layout = |path: &str, tag: Option<&str>| {
            let (path, tag) = (path.into(), tag.map(str::to_owned));
            Some(Reference::Layout { path, tag })
        };
        assert_eq!(
            Reference::parse("oci:/images/app"),
            layout("/images/app", None)
        );
        let tagged = layout("/images/app", Some("v1"));
        assert_eq!(Reference::parse("oci:/images/app:v1"), tagged);
        let archive = Reference::Archive {
            path: "/a.tar".into(),
        };
        assert_eq!(Reference::parse("docker-archive:/a.tar"), Some(archive));
    }

    #[test]
    fn what_is_no_image_is_refused() {
        for uri in [
            "",
            "Upper/Case",
            "a b",
            "oci:relative",
            "docker-archive:../x.tar",
            "host.example/../etc",
            "app:bad tag",
            "app@sha256:12",
            "user@host.example/app",
            "host.example/app@md5:12",
        ] {
            assert_eq!(Reference::parse(uri), None, "{uri}");
        }
    }
}
