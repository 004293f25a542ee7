"""Starting the embedded servers, PostgreSQL and Redis: for the first time, with the making of a database cluster, and
again; beside the same programs called by hand, one after the other, with the flags of a throw-away server."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.measure import Medians, Result
from legal_store import embedded
from legal_store.embedded import client_program
from legal_store.embedded.privileges import Route, choose_route
from legal_store.embedded.programs import redis_program

GOAL = 1.5


def run(*, quick: bool) -> list[Result]:
    first: dict[str, list[float]] = {"by hand": [], "legal_store up": []}
    again: dict[str, list[float]] = {"by hand": [], "legal_store up": []}
    for _ in range(1 if quick else 11):
        for name, times in (("by hand", _by_hand()), ("legal_store up", _ours())):
            first[name].append(times[0])
            again[name].append(times[1])
    return [_result("first start", first), _result("start of a folder that was used before", again)]


def _result(what: str, times: dict[str, list[float]]) -> Result:
    medians = Medians(times)
    theirs, ours = medians.values()
    return Result(what, medians, "ms", ours / theirs, f"at most {GOAL} x the programs by hand")


def _ours() -> tuple[float, float]:
    """Return the milliseconds of a first and of a second start."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        try:
            first = _timed(lambda: embedded.up(home))
            embedded.down(home)
            return first, _timed(lambda: embedded.up(home))
        finally:
            embedded.down(home)


def _by_hand() -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        hand = _Hand(Path(folder))

        def make_and_start() -> None:
            hand.make()
            hand.start()

        try:
            first = _timed(make_and_start)
            hand.stop()
            return first, _timed(hand.start)
        finally:
            hand.stop()


class _Hand:
    """initdb, pg_ctl and redis-server, as a script would call them."""

    def __init__(self, folder: Path) -> None:
        self.data, self.folder = folder / "data", folder
        self.route: Route = choose_route(client_program("postgres"), folder)  # PostgreSQL refuses to be root
        self.redis: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        self.data.mkdir(exist_ok=True)
        self.route.give(self.data)
        self._run("initdb", "-D", self.data, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-sync")

    def start(self) -> None:
        log = self.folder / "log"
        log.touch()
        self.route.give(log)
        options = f"-c listen_addresses= -c unix_socket_directories={self.folder}"
        self._run("pg_ctl", "-D", self.data, "-l", log, "-w", "-o", options, "start")
        command = [redis_program().path, "--port", "0", "--unixsocket", self.folder / "redis.sock", "--save", ""]
        self.redis = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=self.folder)
        while not (self.folder / "redis.sock").exists():
            time.sleep(0.002)

    def stop(self) -> None:
        if self.redis is not None:
            self._run("pg_ctl", "-D", self.data, "-w", "-m", "fast", "stop")
            self.redis.terminate()
            self.redis.wait()
            (self.folder / "redis.sock").unlink(missing_ok=True)
            self.redis = None

    def _run(self, program: str, *arguments: object) -> None:
        command = self.route.command(client_program(program), *map(str, arguments))
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self.folder)


def _timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1000
