"""Imports an export, tells its steps, and kills itself with SIGKILL at the named one. Exit code 0: it had no such."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from legal_store.anonymize import new_key, read_rules
from legal_store.backup import Progress, master_key
from legal_store.backup.stores.local import LocalStore
from legal_store.importing import ImportPlan, import_anonymized, noted
from legal_store.restore import find_source
from tests.conftest import CHECKOUT


class KillAt(Progress):
    def __init__(self, wanted: str) -> None:
        self.wanted = wanted

    def step(self, name: str) -> None:
        print(name, flush=True)
        if name == self.wanted:
            os.kill(os.getpid(), signal.SIGKILL)


def main(parameters: dict[str, Any], data: str, key_file: str, notes: str, step: str) -> None:
    plan = ImportPlan(
        source=find_source(data, LocalStore(Path(data).parent), master_key(file=Path(key_file))),
        parameters=parameters,
        environment="development",
        rules=read_rules(CHECKOUT / "anonymize.toml"),
        key=new_key(),
        migrations=CHECKOUT / "migrations",
        typed=parameters["dbname"],
    )
    with noted(Path(notes), parameters):
        import_anonymized(plan, progress=KillAt(step))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), *sys.argv[2:])
