"""Server processes: start one that outlives us, prove which one is ours, wait for its end."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from legal_store.errors import EmbeddedServerError

POLL_SECONDS = 0.005
ANSWER_SECONDS = 5.0

# What a server gets of our environment: never a DATABASE_URL, a key, or a PG* variable that changes what it does.
_KEPT_VARIABLES = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")

# The shell starts it in the background and ends, so the server is nobody's child: it needs no waiting for, and
# holds none of our files or pipes.
_LAUNCH = 'log=$1; shift; "$@" </dev/null >>"$log" 2>&1 & echo $!'


def spawn(command: Sequence[str | Path], log: Path) -> int:
    """Start `command` in a session of its own, with its output appended to `log`; return its process id."""
    import subprocess

    launched = subprocess.run(
        ["/bin/sh", "-c", _LAUNCH, "sh", log, *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd="/",
        env=server_environment(),
        start_new_session=True,
        umask=0o077,
    )
    if launched.returncode != 0 or not launched.stdout.strip():
        raise EmbeddedServerError(f"{command[0]} could not be started: {launched.stderr.strip()}")
    return int(launched.stdout)


def server_environment() -> dict[str, str]:
    """Return the environment for server programs: the few variables they need, messages in English."""
    return {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ} | {"LC_ALL": "C"}


def is_alive(pid: int) -> bool:
    """Say whether a process of this id runs; one that only waits to be buried does not."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return not Path("/proc/self").exists()
    return status.rpartition(")")[2].split()[0] not in "ZX"


def is_running_with(pid: int, argument: Path) -> bool:
    """Say whether process `pid` runs and was started with `argument`: a pid file alone proves nothing."""
    if not is_alive(pid):
        return False
    try:
        return os.fsencode(argument) in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return str(argument) in _command_line_from_ps(pid)


def _command_line_from_ps(pid: int) -> str:
    import subprocess

    command = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout


def listener_pid(path: Path) -> int | None:
    """Return the process that listens on the Unix socket `path`, None if nobody does.

    0 stands for a process that this one cannot see, in another container. The kernel answers, so no pid file needs
    to be believed. Raises EmbeddedServerError when somebody listens but lets nobody in.
    """
    import socket
    import struct

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(ANSWER_SECONDS)
        try:
            client.connect(os.fsencode(path))
            if sys.platform == "darwin":
                return int(client.getsockopt(0, 2))  # SOL_LOCAL, LOCAL_PEERPID
            peer = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        except (FileNotFoundError, NotADirectoryError, ConnectionError, PermissionError):
            return None
        except OSError as error:
            if error.errno is None:  # the path is too long: there cannot be a socket
                return None
            raise EmbeddedServerError(
                f"The server behind {path} does not accept connections: {error}.",
                remedy="It may be overloaded or suspended; end its clients, or run `invoke down`.",
            ) from error
        pid = int(struct.unpack("3i", peer)[0])
        # threads of a killed server may hold its socket for a moment longer
        return pid if pid == 0 or is_alive(pid) else None


def end(pid: int, how: signal.Signals, seconds: float) -> bool:
    """Send signal `how` to `pid` and wait for its end; return whether it ended within `seconds`."""
    try:
        os.kill(pid, how)
    except ProcessLookupError:
        return True
    except PermissionError as error:
        raise EmbeddedServerError(
            f"Process {pid} belongs to another user and cannot be stopped.",
            remedy="Run the command as the user who started the servers.",
        ) from error
    return wait_until(lambda: not is_alive(pid), seconds)


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until `condition` is true, at most `seconds`; return whether it became true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
