"""What a platform has in the kernel's eyes: processes, cgroups, mounts."""

import contextlib
import os
import pathlib
import time


def children(pid: int) -> set[tuple[int, str]]:
    """All processes below `pid`, each with its start time, so that a reused pid is another."""
    parents = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))):
            parents[int(entry.name)] = stat
    found, todo = set(), [pid]
    while todo:
        parent = todo.pop()
        for child, (its_parent, started) in parents.items():
            if its_parent == parent and (child, started) not in found:
                found.add((child, started))
                todo.append(child)
    return found


def alive(processes: set[tuple[int, str]]) -> set[tuple[int, str]]:
    return {
        (pid, started)
        for pid, started in processes
        if (stat := _stat(pid)) and stat[1] == started
    }


def _stat(pid: int) -> tuple[int, str] | None:
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The program's name may itself hold blanks and brackets.
    fields = text.rpartition(")")[2].split()
    state, parent, started = fields[0], int(fields[1]), fields[19]
    return None if state in "ZX" else (parent, started)


def with_variable(assignment: str) -> set[int]:
    """The processes that were started with this in their environment."""
    found = set()
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                variables = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if assignment.encode() in variables:
                found.add(int(entry.name))
    return found


def left_behind(
    processes: set[tuple[int, str]], data: pathlib.Path, within_s: float = 5
) -> dict[str, set]:
    """What is still there of a server that had these processes and this data directory, once
    `within_s` has been given for it to go. Other servers on this machine are nobody's concern here.
    """
    deadline = time.monotonic() + within_s
    pids = {str(pid) for pid, _ in processes}
    while True:
        found = {
            "processes": alive(processes),
            "cgroups": {path for path in _cgroups() if _pid_in(path) in pids},
            "mounts": {line for line in _mounts() if str(data) in line},
        }
        left = {kind: items for kind, items in found.items() if items}
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.05)


def _cgroups() -> set[str]:
    """Lambent's own groups, `lambent-<pid>-<start time>`, in every hierarchy."""
    root = pathlib.Path("/sys/fs/cgroup")
    depths = ("*", "*/*", "*/*/*")
    while True:
        # Those of other servers come and go while they are looked at.
        with contextlib.suppress(FileNotFoundError):
            return {str(path) for depth in depths for path in root.glob(f"{depth}/lambent-*")}


def _pid_in(path: str) -> str:
    return path.rsplit("/", 1)[1].split("-")[1]


def _mounts() -> list[str]:
    return pathlib.Path("/proc/self/mountinfo").read_text().splitlines()


def cpu_seconds(pid: int) -> float:
    """The processor time that a process and its threads have used so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
