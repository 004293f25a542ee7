"""Runs one operation and kills itself with SIGKILL when its n-th step begins. Exit code 0: it had fewer steps."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from legal_store.backup import Manifest, Policy, Progress, make_backup, master_key, open_store, prune, verify
from legal_store.restore import RestorePlan, find_source, restore, undo


class KillAt(Progress):
    def __init__(self, step: int) -> None:
        self.left = step

    def step(self, name: str) -> None:
        if self.left == 0:
            print(name, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1


def main(operation: str, parameters: dict[str, Any], folder: str, key_file: str, step: int, name: str) -> None:
    store, key, progress = open_store(folder), master_key(file=Path(key_file)), KillAt(step)

    def safety() -> Manifest:
        made = make_backup(parameters, [store], environment="test", codec="zstd", master=key, progress=progress)
        return verify(store, made.manifest.name, key, progress=progress)

    typed = parameters["dbname"]
    if operation == "backup":
        safety()
    elif operation == "prune":
        prune(store, Policy(days=0), master=key, delete=True, progress=progress)
    elif operation == "undo":
        undo(parameters, typed=typed, progress=progress)
    else:
        source = find_source(name, store, key)
        plan = RestorePlan(source=source, parameters=parameters, environment="test", typed=typed, safety_backup=safety)
        restore(plan, progress=progress)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5]), sys.argv[6])
