//! Which layout this machine has, and where in it we may make groups.

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use guest::jail::message::Reader;

use super::{Groups, files, hybrid::Hybrid, nothing::Nothing, unified::Unified};

/// Chooses the layout for the calling process and the instance called `name`. Makes the
/// instance's groups.
pub fn choose(name: &str) -> Box<dyn Groups> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let places = Places::parse(&mounts, &own);
    if let Some(unified) = unified(&places, name) {
        return Box::new(unified);
    }
    let hybrid = hybrid(&places, name);
    if hybrid.open().is_ok() && !hybrid.parents().is_empty() {
        return Box::new(hybrid);
    }
    for dir in hybrid.parents() {
        let _ = files::destroy(&dir);
    }
    Box::new(Nothing)
}

/// The layout that another process chose.
pub fn decode(message: &[u8]) -> Option<Box<dyn Groups>> {
    let mut from = Reader::new(message)?;
    let groups: Box<dyn Groups> = match from.u8()? {
        Nothing::TAG => Box::new(Nothing),
        Hybrid::TAG => Box::new(Hybrid::decode(&mut from)?),
        Unified::TAG => Box::new(Unified::decode(&mut from)?),
        _ => return None,
    };
    from.end().then_some(groups)
}

pub(super) fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

/// Our own group in each hierarchy, as a directory.
#[derive(Debug, Default, PartialEq, Eq)]
struct Places {
    /// Controller name and directory.
    v1: Vec<(String, PathBuf)>,
    v2: Option<Place2>,
}

#[derive(Debug, PartialEq, Eq)]
struct Place2 {
    mount: PathBuf,
    own: PathBuf,
}

impl Places {
    fn parse(mounts: &str, own: &str) -> Self {
        let mut places = Places::default();
        for line in mounts.lines() {
            let Some(mount) = Mount::parse(line) else {
                continue;
            };
            match mount.kind {
                "cgroup2" if places.v2.is_none() => {
                    places.v2 = own_group(own, "").and_then(|group| {
                        let own = mount.directory_of(group)?;
                        Some(Place2 {
                            mount: mount.point.into(),
                            own,
                        })
                    });
                }
                "cgroup" => {
                    for controller in mount.options.split(',') {
                        if ["memory", "cpu", "freezer", "pids"].contains(&controller)
                            && let Some(dir) = own_group(own, controller)
                                .and_then(|group| mount.directory_of(group))
                        {
                            places.v1.push((controller.into(), dir));
                        }
                    }
                }
                _ => {}
            }
        }
        places
    }

    fn v1(&self, controller: &str) -> Option<&Path> {
        let found = self.v1.iter().find(|(name, _)| name == controller);
        found.map(|(_, dir)| dir.as_path())
    }
}

/// A line of mountinfo, as far as it matters here.
struct Mount<'a> {
    root: &'a str,
    point: &'a str,
    kind: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(3);
        let (root, point) = (before.next()?, before.next()?);
        let mut after = after.split(' ');
        let (kind, _, options) = (after.next()?, after.next()?, after.next()?);
        Some(Mount {
            root,
            point,
            kind,
            options,
        })
    }

    /// Where `group` is seen through this mount, which may show only a part of its hierarchy.
    fn directory_of(&self, group: &str) -> Option<PathBuf> {
        let below = Path::new(group).strip_prefix(self.root).ok()?;
        Some(Path::new(self.point).join(below))
    }
}

/// The group of the calling process in the hierarchy of `controller` ("" is version 2).
fn own_group<'a>(own: &'a str, controller: &str) -> Option<&'a str> {
    own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, group) = (parts.next()?, parts.next()?);
        controllers
            .split(',')
            .any(|one| one == controller)
            .then_some(group)
    })
}

fn hybrid(places: &Places, name: &str) -> Hybrid {
    let ours = |dir: &Path| {
        let dir = dir.join(name);
        files::make(&dir).ok().map(|()| dir)
    };
    let at = |controller| places.v1(controller).and_then(ours);
    Hybrid {
        memory: at("memory"),
        cpu: at("cpu"),
        freezer: if places.v2.is_some() {
            None
        } else {
            at("freezer")
        },
        unified: places.v2.as_ref().and_then(|place| ours(&place.own)),
        pids: at("pids"),
    }
}

/// Version 2 can be had if some group that we may write to hands down the memory controller. Our
/// own cannot while it holds processes, unless it is the root; so its parents are asked as well.
fn unified(places: &Places, name: &str) -> Option<Unified> {
    let place = places.v2.as_ref()?;
    let candidates = place
        .own
        .ancestors()
        .take_while(|dir| dir.starts_with(&place.mount));
    for parent in candidates {
        if !has(&parent.join("cgroup.controllers"), "memory") {
            continue;
        }
        Unified::delegate(parent);
        let given = parent.join("cgroup.subtree_control");
        if !has(&given, "memory") {
            continue;
        }
        let dir = parent.join(name);
        if files::make(&dir).is_err() {
            continue;
        }
        let (memory, cpu, pids) = Unified::delegate(&dir);
        if memory && may_enter(&dir, &place.own) {
            return Some(Unified {
                dir,
                memory,
                cpu,
                pids,
            });
        }
        let _ = files::remove(&dir);
    }
    None
}

/// Whether a process may be moved from our own group into `dir`: an ordinary user also needs
/// write access to the common ancestor, which only trying shows.
fn may_enter(dir: &Path, own: &Path) -> bool {
    let probe = dir.join("probe");
    if files::make(&probe).is_err() {
        return false;
    }
    let entered = files::write(&probe, "cgroup.procs", "0").is_ok();
    if entered {
        let _ = files::write(own, "cgroup.procs", "0");
    }
    let _ = files::remove(&probe);
    entered
}

fn has(file: &Path, word: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.split_whitespace().any(|one| one == word))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID_MOUNTS: &str = "\
30 20 0:1 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
31 20 0:2 / /sys/fs/cgroup/cpu,cpuacct rw shared:3 - cgroup cgroup rw,cpu,cpuacct
32 20 0:3 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
33 20 0:4 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";
    const HYBRID_OWN: &str = "5:memory:/a/b\n4:cpu,cpuacct:/\n3:pids:/\n0::/";

    #[test]
    fn version_1_beside_version_2() {
        let places = Places::parse(HYBRID_MOUNTS, HYBRID_OWN);
        assert_eq!(
            places.v1("memory"),
            Some(Path::new("/sys/fs/cgroup/memory/a/b"))
        );
        assert_eq!(
            places.v1("cpu"),
            Some(Path::new("/sys/fs/cgroup/cpu,cpuacct"))
        );
        assert_eq!(places.v1("freezer"), None);
        let v2 = places.v2.expect("a version 2 mount");
        assert_eq!(v2.own, Path::new("/sys/fs/cgroup/unified"));
    }

    #[test]
    fn version_2_alone() {
        let mounts = "24 20 0:1 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate";
        let places = Places::parse(mounts, "0::/system.slice/lambent.service");
        assert_eq!(places.v1, []);
        let v2 = places.v2.expect("a version 2 mount");
        assert_eq!(v2.mount, Path::new("/sys/fs/cgroup"));
        let own = "/sys/fs/cgroup/system.slice/lambent.service";
        assert_eq!(v2.own, Path::new(own));
    }

    #[test]
    fn a_container_sees_a_part_of_the_hierarchy() {
        let mounts = "30 20 0:1 /docker/x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory";
        let places = Places::parse(mounts, "5:memory:/docker/x/y");
        assert_eq!(
            places.v1("memory"),
            Some(Path::new("/sys/fs/cgroup/memory/y"))
        );
        let elsewhere = Places::parse(mounts, "5:memory:/other");
        assert_eq!(elsewhere.v1("memory"), None);
    }

    #[test]
    fn layouts_survive_the_way() {
        let hybrid = Hybrid {
            memory: Some("/m".into()),
            unified: Some("/u".into()),
            ..Hybrid::default()
        };
        let back = decode(&hybrid.encode()).expect("decodes");
        assert_eq!(back.encode(), hybrid.encode());
        let unified = Unified {
            dir: "/u".into(),
            memory: true,
            cpu: false,
            pids: true,
        };
        assert_eq!(
            decode(&unified.encode()).expect("decodes").encode(),
            unified.encode()
        );
        assert_eq!(
            decode(&Nothing.encode()).expect("decodes").encode(),
            Nothing.encode()
        );
        assert!(decode(&[]).is_none());
    }
}
