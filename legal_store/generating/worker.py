"""A process that makes and writes portions: `python -m legal_store.generating.worker FD`, started by workers.py.

FD is the number of the pipe's end that it inherits. The job comes over the pipe, because it holds a password that must
not appear in the list of processes.
"""

from __future__ import annotations

import sys
from contextlib import closing, suppress
from multiprocessing.connection import Connection

from legal_store.generating.copying import connect, write_portion
from legal_store.generating.failures import stopped
from legal_store.generating.market import Market, rows_of
from legal_store.generating.plan import Portion, make_plan
from legal_store.generating.recipe import read_recipe
from legal_store.generating.workers import Job


def work(pipe: Connection) -> None:
    """Make and write the portions that come over the pipe, until its other end is closed."""
    try:
        _serve(pipe)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the parent has ended, or has been killed
    except Exception as error:  # noqa: BLE001  (told to the parent, which raises)
        with suppress(OSError):  # another process has ended the load already: nobody listens
            pipe.send(stopped(error, "Writing a portion"))


def _serve(pipe: Connection) -> None:
    job: Job = pipe.recv()
    recipe = read_recipe(job.folder)
    market = Market.of(recipe, make_plan(recipe, seed=job.seed, firms=job.firms, rows=job.rows), job.catalogue)
    with closing(connect(job.parameters)) as connection:
        while True:
            portion: Portion = pipe.recv()
            write_portion(connection, portion.number, rows_of(market, portion))
            pipe.send(portion.rows)


if __name__ == "__main__":
    work(Connection(int(sys.argv[1])))
