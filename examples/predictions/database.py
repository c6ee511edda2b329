"""A PostgreSQL for the example, where none is given: started from the installed binaries, in a
folder that is kept, on loopback only."""

import glob
import os
import pathlib
import pwd
import shutil
import subprocess

PORT = 54320
MISSING = """\
The example keeps its results in a table of PostgreSQL. There is none given and none installed:
  --database postgres://USER:PASSWORD@HOST:PORT/NAME   names one (or the variable DATABASE_URL),
  apt-get install postgresql                           installs one, which is then started here."""


def start(folder: pathlib.Path) -> str:
    """The URL of a running one; it goes on running when we end."""
    binaries = found()
    if not binaries:
        raise SystemExit(MISSING)
    data = folder / "data"
    if not data.exists():
        folder.mkdir(parents=True, exist_ok=True)
        if owner := other_user():
            shutil.chown(folder, owner)
        run(binaries / "initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "-D", data)
    if subprocess.run(command(binaries / "pg_ctl", "status", "-D", data), **quiet()).returncode:
        options = f"-p {PORT} -h 127.0.0.1 -k {folder}"
        run(binaries / "pg_ctl", "start", "-w", "-D", data, "-l", folder / "log", "-o", options)
    return f"postgres://postgres@127.0.0.1:{PORT}/postgres"


def stop(folder: pathlib.Path) -> None:
    data = folder / "data"
    if data.exists():
        run(found() / "pg_ctl", "stop", "-w", "-m", "fast", "-D", data)


def found() -> pathlib.Path | None:
    """Where the newest server's programs are."""
    program = shutil.which("initdb")
    debian = glob.glob("/usr/lib/postgresql/*/bin/initdb")
    newest = max(debian, key=lambda path: int(path.split("/")[4]), default=None)
    return pathlib.Path(program or newest).parent if program or newest else None


def other_user() -> str | None:
    """PostgreSQL does not run as root, so root lends it another user."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def command(*words) -> list[str]:
    owner = other_user()
    as_owner = ["setpriv", "--reuid", owner, "--regid", owner, "--clear-groups"] if owner else []
    return [*as_owner, *map(str, words)]


def run(*words) -> None:
    ended = subprocess.run(command(*words), **quiet())
    if ended.returncode:
        raise SystemExit(f"{words[0]} fails: {ended.stderr.decode(errors='replace').strip()}")


def quiet() -> dict:
    return {
        "cwd": "/",
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.PIPE,
    }
