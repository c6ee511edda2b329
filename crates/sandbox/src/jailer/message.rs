//! What the server and the jailer say to each other, on a `SOCK_SEQPACKET` pair.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::PathBuf};

use guest::jail::message::{Group, Reader, Writer};

use crate::cgroup::{FreezerKind, Slot};

/// Far above what any message needs; a longer one is not from us.
pub const MESSAGE_MAX: usize = 64 * 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Make this many slots.
    Make(u32),
    /// The environment in this slot is gone and its listener shut: get it ready for another.
    Recycle(Slot),
    /// This slot is not needed any more.
    Remove(Slot),
    /// Show code in an environment that runs already. Descriptor: a pidfd of its init.
    Inject(Injection),
    /// Make a TCP socket in the network of this slot.
    Socket { id: u32, slot: Slot },
    /// Make a station. Descriptor: its end of a socket pair.
    Station(Root),
}

/// A function's files for a process that has waited for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Injection {
    pub id: u32,
    pub code: PathBuf,
    /// One at most: several would have to be merged.
    pub layer: Option<PathBuf>,
}

/// The root file system of a function version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Root {
    pub label: String,
    /// None yet if this is empty.
    pub code: PathBuf,
    /// In merge order.
    pub layers: Vec<PathBuf>,
    /// A container image's layers, the lowest first: they are the root then, and nothing of the
    /// host is in it.
    pub image: Vec<PathBuf>,
    /// What an interpreter needs beyond the base system.
    pub roots: Vec<PathBuf>,
    /// Where the interpreter lies inside; none if this is empty.
    pub interpreter: PathBuf,
    /// Packages for all functions of the interpreter, and where they are shown; none if empty.
    pub packages: PathBuf,
    pub packages_at: PathBuf,
    /// What it is called in Lambda's `/var/lang/bin`.
    pub commands: Vec<PathBuf>,
    /// Files to put into `/var/runtime`.
    pub runtime: Runtime,
}

/// Which runtime client lies in `/var/runtime`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Runtime {
    #[default]
    None,
    Python,
    Node,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The jailer is up.
    Open {
        /// The layout, encoded.
        groups: Vec<u8>,
        /// Runs with an ordinary user's rights.
        ordinary: bool,
        /// What it found it cannot enforce.
        missing: Vec<String>,
    },
    /// It cannot be: why, and what to do.
    Refused(String),
    /// Descriptors: the Runtime API's listener, net namespace, user namespace; the platform's
    /// listener, the freezer, the egress device and the version 2 group if there are such; then
    /// the version 1 groups' entrances.
    Slot(SlotNotice),
    SlotFailed(String),
    /// An injection is done, or why not.
    Injected {
        id: u32,
        failed: Option<String>,
    },
    /// Descriptor: the socket that was asked for; none if there can be none.
    Socket {
        id: u32,
    },
    Warning(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotNotice {
    pub slot: Slot,
    pub owner: u32,
    /// A listener for connections to the platform comes along.
    pub platform: bool,
    pub freezer: Option<FreezerKind>,
    /// Made just now: what the server remembers of a slot of this number is of another.
    pub fresh: bool,
    /// An egress device comes along; after a recycling the server still has it.
    pub egress: bool,
    /// Its version 2 group, if it has one.
    pub group: Group,
}

impl Request {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        match self {
            Request::Make(count) => out.u8(0).u32(*count),
            Request::Recycle(slot) => out.u8(1).u32(*slot),
            Request::Remove(slot) => out.u8(2).u32(*slot),
            Request::Socket { id, slot } => out.u8(5).u32(*id).u32(*slot),
            Request::Inject(injection) => {
                out.u8(4).u32(injection.id);
                paths(&mut out, std::slice::from_ref(&injection.code));
                paths(&mut out, injection.layer.as_slice())
            }
            Request::Station(root) => {
                out.u8(3)
                    .u8(root.runtime as u8)
                    .bytes(root.label.as_bytes());
                paths(&mut out, std::slice::from_ref(&root.code));
                paths(&mut out, &root.layers);
                paths(&mut out, &root.image);
                paths(&mut out, &root.roots);
                paths(&mut out, std::slice::from_ref(&root.interpreter));
                paths(&mut out, std::slice::from_ref(&root.packages));
                paths(&mut out, std::slice::from_ref(&root.packages_at));
                paths(&mut out, &root.commands)
            }
        };
        out.0
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader::new(bytes)?;
        let request = match from.u8()? {
            0 => Request::Make(from.u32()?),
            1 => Request::Recycle(from.u32()?),
            2 => Request::Remove(from.u32()?),
            5 => Request::Socket {
                id: from.u32()?,
                slot: from.u32()?,
            },
            4 => Request::Inject(Injection {
                id: from.u32()?,
                code: read_paths(&mut from)?.pop()?,
                layer: read_paths(&mut from)?.pop(),
            }),
            3 => Request::Station(Root {
                runtime: match from.u8()? {
                    0 => Runtime::None,
                    1 => Runtime::Python,
                    2 => Runtime::Node,
                    _ => return None,
                },
                label: text(&mut from)?,
                code: read_paths(&mut from)?.pop()?,
                layers: read_paths(&mut from)?,
                image: read_paths(&mut from)?,
                roots: read_paths(&mut from)?,
                interpreter: read_paths(&mut from)?.pop()?,
                packages: read_paths(&mut from)?.pop()?,
                packages_at: read_paths(&mut from)?.pop()?,
                commands: read_paths(&mut from)?,
            }),
            _ => return None,
        };
        from.end().then_some(request)
    }
}

impl Notice {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        match self {
            Notice::Open {
                groups,
                ordinary,
                missing,
            } => {
                out.u8(0)
                    .bytes(groups)
                    .u8((*ordinary).into())
                    .u32(missing.len() as u32);
                for one in missing {
                    out.bytes(one.as_bytes());
                }
                &mut out
            }
            Notice::Refused(why) => out.u8(1).bytes(why.as_bytes()),
            Notice::Slot(slot) => out
                .u8(2)
                .u32(slot.slot)
                .u32(slot.owner)
                .u8(slot.platform.into())
                .u8(match slot.freezer {
                    None => 0,
                    Some(FreezerKind::V1) => 1,
                    Some(FreezerKind::V2) => 2,
                })
                .u8(slot.fresh.into())
                .u8(slot.egress.into())
                .u8(slot.group as u8),
            Notice::SlotFailed(why) => out.u8(3).bytes(why.as_bytes()),
            Notice::Warning(what) => out.u8(4).bytes(what.as_bytes()),
            Notice::Injected { id, failed } => {
                let failed = failed.as_deref().unwrap_or_default();
                out.u8(5).u32(*id).bytes(failed.as_bytes())
            }
            Notice::Socket { id } => out.u8(6).u32(*id),
        };
        out.0
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader::new(bytes)?;
        let notice = match from.u8()? {
            0 => {
                let (groups, ordinary) = (from.bytes()?.to_vec(), from.u8()? != 0);
                let count = from.count(4)?;
                let missing = (0..count).map(|_| text(&mut from)).collect::<Option<_>>()?;
                Notice::Open {
                    groups,
                    ordinary,
                    missing,
                }
            }
            1 => Notice::Refused(text(&mut from)?),
            2 => Notice::Slot(SlotNotice {
                slot: from.u32()?,
                owner: from.u32()?,
                platform: from.u8()? != 0,
                freezer: match from.u8()? {
                    0 => None,
                    1 => Some(FreezerKind::V1),
                    2 => Some(FreezerKind::V2),
                    _ => return None,
                },
                fresh: from.u8()? != 0,
                egress: from.u8()? != 0,
                group: from.group()?,
            }),
            3 => Notice::SlotFailed(text(&mut from)?),
            4 => Notice::Warning(text(&mut from)?),
            5 => Notice::Injected {
                id: from.u32()?,
                failed: Some(text(&mut from)?).filter(|failed| !failed.is_empty()),
            },
            6 => Notice::Socket { id: from.u32()? },
            _ => return None,
        };
        from.end().then_some(notice)
    }
}

fn paths<'a>(out: &'a mut Writer, paths: &[PathBuf]) -> &'a mut Writer {
    out.u32(paths.len() as u32);
    for path in paths {
        out.bytes(path.as_os_str().as_bytes());
    }
    out
}

fn read_paths(from: &mut Reader<'_>) -> Option<Vec<PathBuf>> {
    let count = from.count(4)?;
    (0..count)
        .map(|_| Some(PathBuf::from(OsStr::from_bytes(from.bytes()?))))
        .collect()
}

fn text(from: &mut Reader<'_>) -> Option<String> {
    Some(String::from_utf8_lossy(from.bytes()?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_notices_survive_the_way() {
        let root = Root {
            label: "f".into(),
            code: "/c".into(),
            layers: vec!["/l1".into(), "/l2".into()],
            image: vec!["/i".into()],
            roots: vec!["/r".into()],
            interpreter: "/r/bin/node".into(),
            packages: "/p".into(),
            packages_at: "/var/runtime/node_modules".into(),
            commands: vec!["node".into()],
            runtime: Runtime::Node,
        };
        for request in [
            Request::Make(3),
            Request::Recycle(1),
            Request::Remove(2),
            Request::Socket { id: 1, slot: 2 },
            Request::Inject(Injection {
                id: 1,
                code: "/c".into(),
                layer: Some("/l".into()),
            }),
            Request::Inject(Injection {
                id: 1,
                code: "/c".into(),
                layer: None,
            }),
            Request::Station(root),
        ] {
            let encoded = request.encode();
            assert_eq!(Request::decode(&encoded), Some(request));
            assert_eq!(Request::decode(&encoded[..encoded.len() - 1]), None);
        }
        let slot = SlotNotice {
            slot: 1,
            owner: 2,
            platform: true,
            freezer: Some(FreezerKind::V2),
            fresh: false,
            egress: true,
            group: Group::Birth,
        };
        let open = Notice::Open {
            groups: vec![1, 2],
            ordinary: true,
            missing: vec!["x".into()],
        };
        for notice in [
            open,
            Notice::Refused("r".into()),
            Notice::Slot(slot),
            Notice::SlotFailed("s".into()),
            Notice::Warning("w".into()),
            Notice::Socket { id: 1 },
            Notice::Injected {
                id: 1,
                failed: None,
            },
            Notice::Injected {
                id: 1,
                failed: Some("f".into()),
            },
        ] {
            let encoded = notice.encode();
            assert_eq!(Notice::decode(&encoded), Some(notice));
        }
    }
}
