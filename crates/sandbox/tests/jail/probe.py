# Tries what a function must not be able to do. Run inside the jail with the name of a group of
# probes; prints a line for each: its name, and "refused: why" or "POSSIBLE: what came of it".
#
# No attempt does harm when it succeeds: files are opened and not written, and calls that change
# something have arguments that the kernel rejects after it has looked at the caller's rights. So
# only errors that are about rights count as refused; that it was about the arguments means that
# the call got through. Outside a jail nothing but a few harmless looks can be run at all.
import ctypes
import errno
import json
import os
import signal
import socket
import struct
import sys

GIVEN = json.loads(os.environ["GIVEN"])
NUMBERS = json.loads(os.environ["SYSCALLS"])
libc = ctypes.CDLL(None, use_errno=True)


class Refused(Exception):
    pass


def syscall(name, *arguments):
    ctypes.set_errno(0)
    arguments = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = libc.syscall(ctypes.c_long(NUMBERS[name]), *arguments)
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def read(path):
    with open(path, "rb") as file:
        return file.read(200)


def open_to_write(path):
    os.close(os.open(path, os.O_WRONLY))
    return "opened"


def create(path):
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    os.unlink(path)
    return "created"


def connect(host, port, family=socket.AF_INET):
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(3)
        s.connect((host, port))
        return "connected to %s" % host


def seek_secret():
    """Everything readable, looked through for another function's secrets."""
    # Given backwards, so as not to be found in our own environment.
    secret = GIVEN["terces"][::-1].encode()
    found = []
    for root in ("/var", "/opt", "/etc", "/tmp", "/dev", "/proc"):
        for directory, folders, files in os.walk(root):
            if directory.startswith("/proc/sys"):
                folders[:] = []
            for name in files:
                path = os.path.join(directory, name)
                if "/proc/" in path and name not in ("environ", "cmdline", "mounts", "maps"):
                    continue
                try:
                    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
                except OSError:
                    continue
                try:
                    if secret in os.read(fd, 1 << 20):
                        found.append(path)
                except OSError:
                    pass
                finally:
                    os.close(fd)
    if not found:
        raise Refused("nothing found")
    return found


def other_processes():
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    others = [pid for pid in pids if pid not in (1, os.getpid())]
    if not others:
        raise Refused("sees %s" % pids)
    return others


def signal_others():
    """Process 1 is ours and untouchable; nothing else may be there to signal."""
    reached = []
    for pid in list(range(3, 2000)) + GIVEN["pids"]:
        try:
            os.kill(pid, 0)
            reached.append(pid)
        except OSError:
            pass
    if not reached:
        raise Refused("no such process")
    return reached


def signal_init():
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1):
        os.kill(1, number)
    return "sent"


def inherited_descriptors():
    directory = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY)
    fds = {int(name): os.readlink("/proc/self/fd/" + name) for name in os.listdir(directory)}
    extra = {fd: to for fd, to in fds.items() if fd > 2 and fd != directory}
    streams = {fd: to for fd, to in fds.items() if fd <= 2}
    if not extra and streams[0] == "/dev/null" and streams[1].startswith("pipe:"):
        raise Refused(str(streams))
    return extra


def writable_places():
    """Of everything there is to see, what can be written to beside what is meant to be."""
    own = {"/tmp", "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}
    # What is written there is an alarm of the writer's own.
    own.add("/proc/pressure")
    # An ordinary user is to the kernel who made the namespaces, whose settings these are: the
    # environment's own, and nobody else's.
    namespaces = ("/proc/sys/fs/mqueue/", "/proc/sys/kernel/msg", "/proc/sys/kernel/shm",
                  "/proc/sys/kernel/auto_msgmni", "/proc/sys/kernel/sem",
                  "/proc/sys/kernel/pid_max")
    found = []
    for directory, folders, files in os.walk("/"):
        if directory == "/proc":
            folders[:] = [name for name in folders if not name.isdigit()]
        folders[:] = [name for name in folders if os.path.join(directory, name) not in own]
        if os.access(directory, os.W_OK):
            found.append(directory)
        for name in files:
            path = os.path.join(directory, name)
            if path in own or os.path.islink(path) or not os.access(path, os.W_OK):
                continue
            if GIVEN["ordinary"] and path.startswith(namespaces):
                continue
            try:
                fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
                if path.startswith("/proc/sys/"):
                    # Some can be opened by everybody. This changes nothing if it succeeds.
                    os.write(fd, read(path))
                os.close(fd)
                found.append(path)
            except OSError:
                pass
    if not found:
        raise Refused("nothing else")
    return found


def huge_pages_by_mmap():
    import mmap

    mmap.mmap(-1, 2 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40000)
    return "mapped"


def watch_the_others():
    fd = libc.inotify_init1(0)
    watched = libc.inotify_add_watch(fd, b"/usr/bin", 0x20)
    if watched == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return "sees what is opened in /usr/bin"


def old_entry():
    """A system call by the 32-bit way in (getpid there, by interrupt)."""
    import mmap

    if os.uname().machine != "x86_64":
        raise Refused("not on this machine")
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\xb8\x14\0\0\0\xcd\x80\xc3")
    address = ctypes.addressof(ctypes.c_char.from_buffer(code))
    pid = os.fork()
    if pid == 0:
        os._exit(0 if ctypes.CFUNCTYPE(ctypes.c_int)(address)() > 0 else 1)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        raise Refused(signal.Signals(os.WTERMSIG(status)).name)
    return status


def become_root():
    for call in (os.setuid, os.seteuid, os.setgid):
        try:
            call(0)
            return "became root"
        except OSError:
            pass
    raise Refused("os.setuid")


def set_id_program():
    """A set-user-id program runs with our rights or not at all."""
    for path in ("/usr/bin/su", "/usr/bin/passwd", "/usr/bin/mount"):
        if os.path.exists(path) and os.stat(path).st_mode & 0o4000:
            if not os.statvfs(path).f_flag & os.ST_NOSUID:
                return path
    with open("/proc/self/status") as file:
        status = dict(line.split(":\t", 1) for line in file)
    if status["NoNewPrivs"].strip() != "1":
        return status["NoNewPrivs"]
    raise Refused("nosuid and no_new_privs")


def capabilities():
    with open("/proc/self/status") as file:
        status = dict(line.split(":\t", 1) for line in file)
    held = {key: status[key].strip() for key in status if key.startswith("Cap")}
    if all(int(value, 16) == 0 for value in held.values()) and len(held) == 5:
        raise Refused("none held")
    return held


def set_capabilities():
    header = struct.pack("II", 0x20080522, 0)
    everything = struct.pack("IIIIII", *([0xFFFFFFFF] * 6))
    return syscall("capset", header, everything)


def raise_limits():
    import resource

    for name in ("RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_CORE"):
        which = getattr(resource, name)
        _, hard = resource.getrlimit(which)
        try:
            resource.setrlimit(which, (hard + 1, hard + 1))
            return name
        except (ValueError, OSError):
            pass
    raise Refused("all hard limits hold")


def change_network():
    """An RTM_NEWLINK on the loopback, which changes nothing but asks for the right to."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as s:
        s.bind((0, 0))
        body = struct.pack("BxHiII", 0, 0, 1, 0, 0)
        s.send(struct.pack("IHHII", 16 + len(body), 16, 5, 1, 0) + body)
        answer = s.recv(4096)
        error = -struct.unpack_from("i", answer, 16)[0]
        if error:
            raise OSError(error, os.strerror(error))
    return "accepted"


def abstract_socket():
    with socket.socket(socket.AF_UNIX) as s:
        s.connect("\0" + GIVEN["abstract"])
    return "connected"


def io_uring():
    return syscall("io_uring_setup", 8, ctypes.create_string_buffer(120))


def perf():
    return syscall("perf_event_open", ctypes.create_string_buffer(128), 0, -1, -1, 0)


def new_user_namespace():
    return syscall("unshare", 0x10000000 | 1)


def namespace_by_clone():
    pid = syscall("clone", 0x10000000 | 17, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    return pid


def namespace_by_clone3():
    arguments = struct.pack("QQQQQQQQ", 0x10000000, 0, 0, 0, 17, 0, 0, 0)
    pid = syscall("clone3", arguments, len(arguments))
    if pid == 0:
        os._exit(0)
    return pid


def enter_namespace():
    fd = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    return syscall("setns", fd, 0)


def chroot():
    os.chroot("/tmp")


def device_node():
    os.mknod("/tmp/memory", 0o20666, os.makedev(1, 1))
    return read("/tmp/memory")


def vsock():
    with socket.socket(40, socket.SOCK_STREAM) as s:
        s.connect((2, 1024))
    return "connected"


MEMORY = ctypes.create_string_buffer(64)

# Of what errors a refusal may consist.
NOT_ALLOWED = {errno.EPERM, errno.EACCES, errno.ENOSYS}
NOT_THERE = {errno.ENOENT, errno.ESRCH, errno.EROFS}
NOT_REACHED = {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH}
REFUSALS = {
    "code": NOT_ALLOWED | NOT_THERE,
    "files": NOT_ALLOWED | NOT_THERE,
    "network": NOT_ALLOWED | NOT_REACHED,
    "processes": NOT_ALLOWED | NOT_THERE,
    "kernel": NOT_ALLOWED,
}

# All that may be run outside of a jail, to see that the probes can succeed at all.
HARMLESS = {"another function's code", "own code on the host", "the host's abstract sockets"}

GROUPS = {
    "code": {
        "another function's secrets": seek_secret,
        "another function's code": lambda: read(GIVEN["other_code"]),
        "own code on the host": lambda: read(GIVEN["own_code"]),
    },
    "files": {
        **{
            path: (lambda path: lambda: os.listdir(path))(path)
            for path in ("/root", "/home", "/boot", "/sys", "/srv", "/run", "/mnt",
                         "/var/lib", "/var/log", GIVEN["jail_dir"], GIVEN["scratch"])
        },
        "/etc/shadow": lambda: read("/etc/shadow"),
        "/etc/hostname": lambda: read("/etc/hostname"),
        "/etc/machine-id": lambda: read("/etc/machine-id"),
        "/dev/mem": lambda: read("/dev/mem"),
        "/dev/kvm": lambda: read("/dev/kvm"),
        "/dev/kmsg": lambda: read("/dev/kmsg"),
        "/dev/net/tun": lambda: read("/dev/net/tun"),
        "/proc/kcore": lambda: read("/proc/kcore"),
        "/proc/kmsg": lambda: read("/proc/kmsg"),
        "another process's root": lambda: os.listdir("/proc/1/root"),
        "root": lambda: create("/x"),
        "/var/task": lambda: create("/var/task/x"),
        "/opt": lambda: create("/opt/x"),
        "/usr/bin": lambda: create("/usr/bin/x"),
        "/dev": lambda: create("/dev/x"),
        "/etc/passwd": lambda: open_to_write("/etc/passwd"),
        "own code": lambda: open_to_write("/var/task/bootstrap"),
        "core_pattern": lambda: open_to_write("/proc/sys/kernel/core_pattern"),
        "sysrq": lambda: open_to_write("/proc/sysrq-trigger"),
        "by handle": lambda: syscall("open_by_handle_at", -100, MEMORY, 0),
        "descriptors": inherited_descriptors,
        "anything else": writable_places,
    },
    "network": {
        "the platform's port": lambda: connect("127.0.0.1", GIVEN["port"]),
        "the platform's port by IPv6": lambda: connect("::1", GIVEN["port"], socket.AF_INET6),
        "the platform's port by any address": lambda: connect("0.0.0.0", GIVEN["port"]),
        "the gateway": lambda: connect("169.254.100.1", GIVEN["port"]),
        **{
            "the host's address " + host: (lambda host: lambda: connect(host, GIVEN["port"]))(host)
            for host in GIVEN["addresses"]
        },
        "the instance metadata service": lambda: connect("169.254.169.254", 80),
        "the host's abstract sockets": abstract_socket,
        "raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
        "packet socket": lambda: socket.socket(17, socket.SOCK_RAW, 0x300),
        "vsock": vsock,
        "kernel crypto": lambda: socket.socket(38, socket.SOCK_SEQPACKET),
        "SCTP": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132),
        "DCCP": lambda: socket.socket(socket.AF_INET, 6, 33),
        "L2TP": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 115),
        "MPTCP": lambda: socket.socket(socket.AF_INET6, socket.SOCK_STREAM, 262),
        "generic netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16),
        "the interfaces": change_network,
    },
    "processes": {
        "seen": other_processes,
        "signalled": signal_others,
        "init signalled": signal_init,
        "init's memory": lambda: read("/proc/1/mem"),
        "init's environment": lambda: read("/proc/1/environ"),
        "init's descriptors": lambda: os.listdir("/proc/1/fd"),
        "ptrace of init": lambda: syscall("ptrace", 16, 1, 0, 0),
        "ptrace of oneself by the parent": lambda: syscall("ptrace", 0, 0, 0, 0),
        "another's memory": lambda: syscall("process_vm_readv", 1, MEMORY, 1, MEMORY, 1, 0),
        "another's memory to write": lambda: syscall(
            "process_vm_writev", 1, MEMORY, 1, MEMORY, 1, 0
        ),
        "compared": lambda: syscall("kcmp", 1, 2, 0, 0, 0),
        "another's descriptor": lambda: syscall("pidfd_getfd", os.pidfd_open(1), 0, 0),
    },
    "kernel": {
        "mount": lambda: syscall("mount", b"none", b"/tmp", b"no-such-type", 0, 0),
        "remount": lambda: syscall("mount", b"none", b"/no-such-place", b"", 32, 0),
        "bind": lambda: syscall("mount", b"/no-such-place", b"/tmp", b"", 4096, 0),
        "umount": lambda: syscall("umount2", b"/proc", 1 << 30),
        "open_tree": lambda: syscall("open_tree", -100, b"/", 1),
        "fsopen": lambda: syscall("fsopen", b"tmpfs", 0),
        "pivot_root": lambda: syscall("pivot_root", b"/no-such-place", b"/tmp"),
        "chroot": chroot,
        "unshare": new_user_namespace,
        "clone": namespace_by_clone,
        "clone3": namespace_by_clone3,
        "setns": enter_namespace,
        "add_key": lambda: syscall("add_key", b"user", b"x", b"y", 1, -3),
        "keyctl": lambda: syscall("keyctl", 0, -3, 1),
        "request_key": lambda: syscall("request_key", b"user", b"x", 0, 0),
        "bpf": lambda: syscall("bpf", 0, MEMORY, 64),
        "io_uring": io_uring,
        "perf": perf,
        "userfaultfd": lambda: syscall("userfaultfd", 1),
        "fanotify": lambda: syscall("fanotify_init", 0, 0),
        "module": lambda: syscall("init_module", MEMORY, 64, b""),
        "kexec": lambda: syscall("kexec_load", 0, 0, 0, -1),
        "reboot": lambda: syscall("reboot", 0, 0, 0, 0),
        "swap": lambda: syscall("swapon", b"/no-such-place", 0),
        "log": lambda: syscall("syslog", 3, MEMORY, 64),
        "fsmount": lambda: syscall("fsmount", -1, 0, 0),
        "fspick": lambda: syscall("fspick", -100, b"/", 0),
        "move_mount": lambda: syscall("move_mount", -1, b"", -1, b"", 4),
        "mount_setattr": lambda: syscall("mount_setattr", -100, b"/", 0, MEMORY, 32),
        "name_to_handle_at": lambda: syscall("name_to_handle_at", -100, b"/", MEMORY, MEMORY, 0),
        "aio": lambda: syscall("io_setup", 1, MEMORY),
        "module file": lambda: syscall("finit_module", -1, b"", 0),
        "kexec file": lambda: syscall("kexec_file_load", -1, -1, 0, b"", 0),
        "vmsplice": lambda: syscall("vmsplice", -1, MEMORY, 0, 0),
        "memory policy": lambda: syscall("set_mempolicy", 0, 0, 0),
        "other pages": lambda: syscall("move_pages", 1, 0, 0, 0, 0, 0),
        "clock drift": lambda: syscall("adjtimex", ctypes.create_string_buffer(256)),
        "terminal": lambda: syscall("ioctl", 0, 0x5412, MEMORY),
        "console": lambda: syscall("ioctl", 0, 0x541C, MEMORY),
        "personality": lambda: syscall("personality", 0x0400000),
        "huge pages by file": lambda: syscall("memfd_create", b"x", 4),
        "huge pages by mapping": huge_pages_by_mmap,
        "huge pages by key": lambda: syscall("shmget", 0, 2 << 20, 0o4600),
        "watching": watch_the_others,
        "the 32-bit way in": old_entry,
        "clock": lambda: syscall("clock_settime", 0, struct.pack("qq", 0, -1)),
        "host name": lambda: syscall("sethostname", b"x", -1),
        "quota": lambda: syscall("quotactl", 0, b"/", 0, 0),
        "accounting": lambda: syscall("acct", b"/no-such-place"),
        "device": device_node,
        "root": become_root,
        "set-id": set_id_program,
        "capabilities held": capabilities,
        "capabilities taken": set_capabilities,
        "limits": raise_limits,
    },
}


def is_inside():
    return os.getuid() == 993 and os.getpid() == 2 and os.path.exists("/var/task/bootstrap")


def attempt(probe, refusals):
    try:
        return "POSSIBLE: %r" % (probe(),)
    except Refused as why:
        return "refused: %s" % why
    except OSError as error:
        name = errno.errorcode.get(error.errno, str(error))
        return ("refused: %s" if error.errno in refusals else "POSSIBLE, got as far as %s") % name


def main():
    group = os.environ["GROUP"]
    inside = is_inside()
    for name, probe in GROUPS[group].items():
        if inside or name in HARMLESS:
            print("%s = %s" % (name, attempt(probe, REFUSALS[group])), flush=True)
    print("done", flush=True)
    if inside:
        # As a module of a function, there would be a handler to look for next.
        os._exit(0)


main()
