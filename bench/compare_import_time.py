"""What a service pays for `import legal_store` and a model, beside the two packages that it needs anyway."""

from __future__ import annotations

import os
import subprocess
import sys

from bench.measure import Result, alternate

GOAL = 1.3


def run(*, quick: bool) -> list[Result]:
    # Peewee imports psycopg 3 when it is there, and here it is, as a peer of other comparisons
    without_peers = "import sys; sys.modules['psycopg'] = None; "
    statements = {
        "peewee and psycopg2": "import peewee, psycopg2",
        "legal_store and a model": "from legal_store import Case",
    }
    # with compiled files, as an installed package has them
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def start(statement: str) -> None:
        subprocess.run([sys.executable, "-c", without_peers + statement], check=True, env=environment)

    contestants = {name: (lambda statement=statement: start(statement)) for name, statement in statements.items()}
    medians = alternate(contestants, rounds=2 if quick else 40, warm_up=2)
    base, ours = medians.values()
    return [Result("start of a process with", medians, "ms", ours / base, f"at most {GOAL}")]
