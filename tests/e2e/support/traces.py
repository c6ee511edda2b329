"""What a platform leaves in the kernel's eyes: processes, cgroups, mounts, network namespaces."""

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


def cgroups() -> set[str]:
    root = pathlib.Path("/sys/fs/cgroup")
    return {
        str(path)
        for path in root.glob("**/")
        if any(part.startswith("lambent") for part in path.relative_to(root).parts)
    }


def mounts() -> set[str]:
    lines = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    return {line for line in lines if "lambent" in line}


def network_namespaces() -> set[str]:
    directory = pathlib.Path("/run/netns")
    named = {entry.name for entry in directory.iterdir()} if directory.is_dir() else set()
    return {name for name in named if name.startswith("lambent")}


def network_devices() -> set[str]:
    return set(os.listdir("/sys/class/net"))


def all_traces() -> dict[str, set[str]]:
    return {
        "cgroups": cgroups(),
        "mounts": mounts(),
        "network namespaces": network_namespaces(),
        "network devices": network_devices(),
    }


def new_since(before: dict[str, set[str]], within_s: float) -> dict[str, set[str]]:
    """What is there now and was not before, once `within_s` has been given for it to go."""
    deadline = time.monotonic() + within_s
    while True:
        now = all_traces()
        new = {kind: now[kind] - before[kind] for kind in now if now[kind] - before[kind]}
        if not new or time.monotonic() > deadline:
            return new
        time.sleep(0.05)


def cpu_seconds(pid: int) -> float:
    """The processor time that a process and its threads have used so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
