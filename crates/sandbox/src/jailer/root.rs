//! The root file system of a function version: a small read-only tmpfs with the host's runtime
//! files bound into it, and nothing else of the host.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use super::{
    During, Trouble,
    message::{Root, Runtime},
    mounts::{self, NO_DEVICES, NO_EXECUTION, NO_SUID, READ_ONLY, bind, check},
};
use crate::{
    egress::RESOLV_CONF,
    runtimes::{SUPERVISOR, has_extensions, inside},
};

/// Directories of the host's base system. A symbolic link among them (a merged /usr) is made
/// again as it is; what is not there is left out.
const SYSTEM: &[&str] = &[
    "usr/bin",
    "usr/sbin",
    "usr/lib",
    "usr/lib32",
    "usr/lib64",
    "usr/libexec",
    "bin",
    "sbin",
    "lib",
    "lib32",
    "lib64",
    "usr/share/zoneinfo",
    "usr/share/ca-certificates",
    "usr/share/terminfo",
    // Debian's Node.js keeps parts of its standard library here.
    "usr/share/nodejs",
    "usr/share/node_modules",
    // Where links among programs and certificates lead through.
    "etc/alternatives",
    "etc/ssl/certs",
    "etc/pki/ca-trust/extracted",
    // Not all of it: private keys lie beside.
    "etc/pki/tls/certs",
    "etc/pki/tls/cert.pem",
    "etc/ca-certificates",
];

/// Small files that are the same on every host of a kind, copied.
const COPIED: &[&str] = &[
    "etc/ld.so.cache",
    "etc/ssl/openssl.cnf",
    "etc/pki/tls/openssl.cnf",
    "etc/protocols",
    "etc/services",
    "etc/mime.types",
    "etc/debian_version",
];
const COPIED_BYTES_MAX: u64 = 4 << 20;

const PASSWD: &str = "root:x:0:0:root:/root:/sbin/nologin\n\
    nobody:x:65534:65534:nobody:/:/sbin/nologin\n\
    sbx_user1051:x:993:990::/home/sbx_user1051:/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nnobody:x:65534:\nsbx_user1051:x:990:\n";
/// `sandbox` is what extensions call the place where they listen for telemetry.
const HOSTS: &str = "127.0.0.1 localhost localhost.localdomain sandbox sandbox.localdomain\n\
                     ::1 localhost\n";
const NSSWITCH: &str = "passwd: files\ngroup: files\nhosts: files dns\nservices: files\n\
    protocols: files\n";

const DEVICES: &[(&str, u32, u32)] = &[
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
];
const DEVICE_LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// Makes the calling process's mount namespace its own and the described root its root.
pub fn build(spec: &Root, staging: &Path, ordinary: bool) -> Result<(), Trouble> {
    guest::jail::sys::unshare(guest::jail::sys::CLONE_NEWNS)
        .during(|| "make a mount namespace".into())?;
    guest::jail::sys::umask(0o022).during(|| "set the umask".into())?;
    mounts::mount("tmpfs", staging, libc::MS_NOSUID, "size=16m,mode=0755")
        .during(|| format!("mount a tmpfs on {}", staging.display()))?;
    let root = match spec.image.is_empty() {
        true => of_the_host(spec, staging, ordinary).map(|()| staging.to_owned())?,
        false => of_an_image(&spec.image, staging, ordinary)?,
    };
    if ordinary {
        // The kernel lets an ordinary user mount a /proc only where one is in plain view. Every
        // environment covers this one with its own.
        let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
        mounts::mount("proc", &root.join("proc"), flags, "").during(|| "mount /proc".into())?;
    }
    std::env::set_current_dir(&root).during(|| "enter the new root".into())?;
    mounts::pivot_here().during(|| "change the root".into())?;
    mounts::set_attributes(Path::new("/"), READ_ONLY | NO_SUID | NO_DEVICES, false)
        .during(|| "make the root read-only".into())
}

/// The host's own programs and libraries, with the function's code among them.
fn of_the_host(spec: &Root, staging: &Path, ordinary: bool) -> Result<(), Trouble> {
    let at = |path: &str| staging.join(path);
    for path in SYSTEM {
        system(path, staging)?;
    }
    for path in &spec.roots {
        show(path, &staging.join(relative(&inside(path))), READ_ONLY)?;
    }
    files(staging)?;
    devices(&at("dev"), ordinary)?;
    runtime(spec.runtime, &at("var/runtime"))?;
    if has_extensions(&spec.layers) {
        let itself = std::env::current_exe().during(|| "find this program".into())?;
        show(
            &itself,
            &staging.join(relative(Path::new(SUPERVISOR))),
            READ_ONLY,
        )?;
    }
    commands(spec, &at("var/lang/bin"))?;
    if !spec.packages.as_os_str().is_empty() {
        show(
            &spec.packages,
            &staging.join(relative(&spec.packages_at)),
            READ_ONLY,
        )?;
    }
    let task = at("var/task");
    match spec.code.as_os_str().is_empty() {
        true => directory(&task)?,
        false => show(&spec.code, &task, READ_ONLY)?,
    }
    layers(&spec.layers, staging)?;
    for mount_point in ["tmp", "proc"] {
        directory(&at(mount_point))?;
    }
    Ok(())
}

/// An image's layers over each other, and over them all what an environment needs in any root.
/// Gives where it is.
fn of_an_image(layers: &[PathBuf], staging: &Path, ordinary: bool) -> Result<PathBuf, Trouble> {
    let (root, frame) = (staging.join("root"), staging.join("frame"));
    for path in ["proc", "tmp", "dev", "etc"] {
        directory(&frame.join(path))?;
    }
    for (path, text) in [("etc/hosts", HOSTS), ("etc/resolv.conf", RESOLV_CONF)] {
        let target = frame.join(path);
        fs::write(&target, text).during(|| format!("write {}", target.display()))?;
    }
    directory(&root)?;
    for (number, layer) in layers.iter().enumerate() {
        show(layer, &staging.join(format!(".l{number}")), READ_ONLY)?;
    }
    std::env::set_current_dir(staging).during(|| "enter the new root".into())?;
    let topmost_first: Vec<String> = (0..layers.len())
        .rev()
        .map(|number| format!(".l{number}"))
        .collect();
    // Marks of opaque directories are the ones that an ordinary user can set too.
    let options = format!("userxattr,lowerdir=frame:{}", topmost_first.join(":"));
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_RDONLY;
    mounts::mount("overlay", &root, flags, &options).during(|| "put the image together".into())?;
    devices(&root.join("dev"), ordinary)?;
    Ok(root)
}

fn relative(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

fn directory(path: &Path) -> Result<(), Trouble> {
    fs::create_dir_all(path).during(|| format!("make {}", path.display()))
}

/// Binds a directory or a file of the host.
fn show(source: &Path, target: &Path, attributes: u64) -> Result<(), Trouble> {
    match (source.is_file(), target.parent()) {
        (true, Some(parent)) => {
            directory(parent)?;
            fs::write(target, "").during(|| format!("make {}", target.display()))?;
        }
        _ => directory(target)?,
    }
    bind(source, target, attributes | NO_SUID | NO_DEVICES)
        .during(|| format!("show {} in the sandbox", source.display()))
}

fn system(path: &str, staging: &Path) -> Result<(), Trouble> {
    let (source, target) = (Path::new("/").join(path), staging.join(path));
    let Ok(found) = fs::symlink_metadata(&source) else {
        return Ok(());
    };
    if found.is_dir() {
        return show(&source, &target, READ_ONLY);
    }
    let Ok(link) = fs::read_link(&source) else {
        return Ok(());
    };
    if let Some(parent) = target.parent() {
        directory(parent)?;
    }
    symlink(&link, &target).during(|| format!("link {}", target.display()))
}

fn files(staging: &Path) -> Result<(), Trouble> {
    directory(&staging.join("etc/ssl"))?;
    let write = |path: &str, text: &[u8]| {
        let target = staging.join(path);
        fs::write(&target, text).during(|| format!("write {}", target.display()))
    };
    write("etc/passwd", PASSWD.as_bytes())?;
    write("etc/group", GROUP.as_bytes())?;
    write("etc/hosts", HOSTS.as_bytes())?;
    write("etc/nsswitch.conf", NSSWITCH.as_bytes())?;
    write("etc/resolv.conf", RESOLV_CONF.as_bytes())?;
    for path in COPIED {
        let source = Path::new("/").join(path);
        let small = fs::metadata(&source)
            .is_ok_and(|found| found.is_file() && found.len() <= COPIED_BYTES_MAX);
        if let Some(text) = small.then(|| fs::read(&source).ok()).flatten() {
            write(path, &text)?;
        }
    }
    // Lambda's clock shows UTC, whatever the host's does.
    let links = [
        ("../usr/lib/os-release", "etc/os-release"),
        ("../usr/share/zoneinfo/UTC", "etc/localtime"),
    ];
    for (link, path) in links {
        symlink(link, staging.join(path)).during(|| format!("link {path}"))?;
    }
    Ok(())
}

fn devices(dev: &Path, ordinary: bool) -> Result<(), Trouble> {
    directory(dev)?;
    mounts::mount(
        "tmpfs",
        dev,
        libc::MS_NOSUID | libc::MS_NOEXEC,
        "size=64k,mode=0755",
    )
    .during(|| "mount a tmpfs on /dev".into())?;
    for (name, major, minor) in DEVICES {
        let target = dev.join(name);
        if ordinary || node(&target, *major, *minor).is_err() {
            // Not ours to make: show the host's.
            fs::write(&target, "").during(|| format!("make {}", target.display()))?;
            bind(
                &Path::new("/dev").join(name),
                &target,
                NO_SUID | NO_EXECUTION,
            )
            .during(|| format!("show /dev/{name} in the sandbox"))?;
        }
    }
    for (name, link) in DEVICE_LINKS {
        symlink(link, dev.join(name)).during(|| format!("link /dev/{name}"))?;
    }
    mounts::set_attributes(dev, READ_ONLY, false).during(|| "make /dev read-only".into())
}

fn node(path: &Path, major: u32, minor: u32) -> io::Result<()> {
    let path = mounts::path(path)?;
    let device = libc::makedev(major, minor);
    // SAFETY: a terminated string.
    check(unsafe { libc::mknod(path.as_ptr(), libc::S_IFCHR | 0o666, device) })?;
    // SAFETY: a terminated string. The umask does not matter to it.
    check(unsafe { libc::chmod(path.as_ptr(), 0o666) })
}

fn runtime(runtime: Runtime, dir: &Path) -> Result<(), Trouble> {
    directory(dir)?;
    for (name, bytes) in crate::runtimes::files(runtime) {
        let target = dir.join(name);
        fs::write(&target, bytes).during(|| format!("write {}", target.display()))?;
        let _ = fs::set_permissions(&target, fs::Permissions::from_mode(0o444));
    }
    Ok(())
}

/// The interpreter under Lambda's names for it.
fn commands(spec: &Root, dir: &Path) -> Result<(), Trouble> {
    if !spec.commands.is_empty() {
        directory(dir)?;
    }
    for name in &spec.commands {
        let link = dir.join(name);
        symlink(&spec.interpreter, &link).during(|| format!("link {}", link.display()))?;
    }
    Ok(())
}

/// One layer is bound; several are merged, the later over the earlier, as Lambda unpacks them.
fn layers(layers: &[PathBuf], staging: &Path) -> Result<(), Trouble> {
    let target = staging.join("opt");
    match layers {
        [] => directory(&target),
        [one] => show(one, &target, READ_ONLY),
        _ => merge(layers, staging, &target),
    }
}

fn merge(layers: &[PathBuf], staging: &Path, target: &Path) -> Result<(), Trouble> {
    directory(target)?;
    // Overlay's option string has its own syntax; short names of our own avoid it.
    let places: Vec<PathBuf> = (0..layers.len())
        .map(|number| staging.join(format!(".l{number}")))
        .collect();
    for (layer, place) in layers.iter().zip(&places) {
        show(layer, place, READ_ONLY)?;
    }
    std::env::set_current_dir(staging).during(|| "enter the new root".into())?;
    let topmost_first: Vec<String> = (0..layers.len())
        .rev()
        .map(|number| format!(".l{number}"))
        .collect();
    let options = format!("lowerdir={}", topmost_first.join(":"));
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_RDONLY;
    mounts::mount("overlay", target, flags, &options).during(|| "merge the layers".into())?;
    for place in &places {
        mounts::detach(place)
            .and_then(|()| fs::remove_dir(place))
            .during(|| "tidy up".into())?;
    }
    Ok(())
}
