"""Masking: legal_store, hand-written updates without proof, pganonymize, and an ORM loop.

All mask the same columns, with lorem ipsum of 2 kB for documents. Two databases: 170,000 rows with trigram indexes
(20,000 users, 50,000 cases, 100,000 documents; documents.search_text is dropped), and a tenth of the rows in the whole
schema, where all contestants spend most of their time in the to_tsvector() of that generated column. The ORM loop runs
over a twentieth of the rows, because all of them take minutes; its figure is rows per second of those. The short runs
are shown as the median of three rounds in turn, the long ones were measured once.

legal_store leaves no old row in the files of the tables. Hand-written updates and pganonymize do, so each is shown a
second time with the VACUUM (FULL, ANALYZE) that would take them away.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2

from bench.measure import Medians, Result, rates
from bench.servers import server
from legal_store.anonymize import anonymize, new_key, read_rules
from legal_store.anonymize.vocabulary import LOREM
from legal_store.config import Settings, Url
from legal_store.database import all_firms, db
from legal_store.migrate import deploy

CHECKOUT = Path(__file__).parent.parent
ROUNDS = 3
TEXT = (LOREM * 3)[:1990]  # as long as the documents' own

FILL = """
INSERT INTO firms (name, vat_id) VALUES ('Cabinet Mureșan', 'RO14399840');
INSERT INTO users (firm_id, email, first_name, last_name, role, azure_ad_id)
SELECT f.id, 'avocat.' || md5(n::text) || '@firma.ro', initcap(substr(translate(md5(n || 'f'), '0123456789', 'aeiourstlm'), 1, 7)),
       initcap(substr(translate(md5(n || 'l'), '0123456789', 'aeiourstlm'), 1, 9)), 'Associate', gen_random_uuid()
FROM firms f, generate_series(1, {users}) n;
INSERT INTO clients (firm_id, name) SELECT id, 'Societatea ' || md5(n::text) FROM firms, generate_series(1, 100) n;
INSERT INTO cases (firm_id, case_number, title, client_id, type, description, opened_date)
SELECT c.firm_id, 'D-' || n, 'Dosarul ' || md5(n::text) || ' privind un litigiu', c.id, 'Civil',
       'Descrierea cauzei ' || md5(n || 'd') || ' pe scurt', '2024-01-01'::date + n % 500
FROM generate_series(1, {cases}) n JOIN (SELECT *, row_number() OVER () AS place FROM clients) c ON c.place = 1 + n % 100;
CREATE TEMP TABLE texts AS
SELECT t, left(string_agg(substr(translate(md5(t || ':' || w), '0123456789', 'aeiourstlm'), 1, 3 + w % 7), ' '), 1990) AS text
FROM generate_series(0, 499) t, generate_series(1, 320) w GROUP BY t;
INSERT INTO documents (firm_id, case_id, title, document_type, content, file_name, storage_url)
SELECT c.firm_id, c.id, 'Actul ' || md5(n::text) || ' al cauzei', 'Contract', n || ' ' || texts.text, 'act' || n || '.pdf',
       's3://bucket/act' || n || '.pdf'
FROM generate_series(1, {documents}) n
JOIN (SELECT *, row_number() OVER () AS place FROM cases) c ON c.place = 1 + n % {cases}
JOIN texts ON texts.t = n % 500;
"""

BY_HAND = """
ALTER TABLE users DISABLE TRIGGER USER; ALTER TABLE cases DISABLE TRIGGER USER; ALTER TABLE documents DISABLE TRIGGER USER;
UPDATE users AS t SET first_name = 'Demo', last_name = 'User ' || n, email = 'demo' || n || '@example.com',
    azure_ad_id = gen_random_uuid()
FROM (SELECT ctid AS row, row_number() OVER (ORDER BY id) AS n FROM users) AS s WHERE t.ctid = s.row;
UPDATE cases AS t SET case_number = 'DEMO-' || n, title = 'Demo Case ' || n, description = 'A case of the demo data.'
FROM (SELECT ctid AS row, row_number() OVER (ORDER BY id) AS n FROM cases) AS s WHERE t.ctid = s.row;
UPDATE documents AS t SET title = 'Demo Document ' || n, content = rpad('', length(content), 'LOREM'),
    file_name = 'file-' || n || '.pdf', storage_url = 'https://files.example.com/' || n || '.pdf'
FROM (SELECT ctid AS row, row_number() OVER (ORDER BY id) AS n FROM documents) AS s WHERE t.ctid = s.row;
ALTER TABLE users ENABLE TRIGGER USER; ALTER TABLE cases ENABLE TRIGGER USER; ALTER TABLE documents ENABLE TRIGGER USER;
""".replace("LOREM", LOREM)

PGANONYMIZE = """
tables:
  - users:
      primary_key: id
      fields:
        - first_name: {provider: {name: set, value: Demo}}
        - last_name: {provider: {name: md5}}
        - email: {provider: {name: md5}, append: "@example.com"}
        - azure_ad_id: {provider: {name: uuid4}}
  - cases:
      primary_key: id
      fields:
        - case_number: {provider: {name: md5}}
        - title: {provider: {name: md5}}
        - description: {provider: {name: set, value: A case of the demo data.}}
  - documents:
      primary_key: id
      fields:
        - title: {provider: {name: md5}}
        - content: {provider: {name: set, value: "LOREM"}}
        - file_name: {provider: {name: md5}, append: ".pdf"}
        - storage_url: {provider: {name: md5}, append: ".pdf"}
""".replace("LOREM", TEXT)

PGANONYMIZE_PROGRAM = Path(sys.executable).parent / "pganonymize"


def run(*, quick: bool) -> list[Result]:
    rows = (200, 500, 1_000) if quick else (20_000, 50_000, 100_000)
    with server() as own:
        trigram = _compared(own.parameters, rows, search_text=False)
        whole = _compared(own.parameters, rows if quick else tuple(count // 10 for count in rows), search_text=True)
    return [*_results(trigram, "trigram indexes", claim=True), *_results(whole, "whole schema", claim=False)]


def _compared(server: dict[str, Any], rows: tuple[int, ...], *, search_text: bool) -> Medians:
    """Return the rows per second of each contestant."""
    _fill(server, *rows, search_text=search_text)
    total, slice_of = sum(rows), 20

    def contestant(act: Callable[[dict[str, Any]], None], count: int = total) -> tuple[int, Callable[[], float]]:
        return count, lambda: _timed(server, act)

    repeated = {
        "legal_store without proof": contestant(_unproven),
        "by hand": contestant(_by_hand),
        "ORM loop": contestant(lambda target: _orm_loop(target, slice_of), total // slice_of),
    }
    once = {
        "by hand, and VACUUM FULL": contestant(lambda target: _vacuumed(target, _by_hand)),
        "legal_store with proof": contestant(_proven),
    }
    if PGANONYMIZE_PROGRAM.exists():  # installed apart: pip install 'legal-store[bench-pganonymize]'
        once["pganonymize"] = contestant(_pganonymize)
        once["pganonymize, and VACUUM FULL"] = contestant(lambda target: _vacuumed(target, _pganonymize))
    return rates(repeated, ROUNDS).beside(rates(once, 1))


def _results(found: Medians, where: str, *, claim: bool) -> list[Result]:
    """Return the ratios; those of the issue's database make a claim."""
    ours = found["legal_store without proof"]
    wanted = {
        "an ORM loop": (ours / found["ORM loop"], "at least 15"),
        "hand-written updates, which are faster by": (found["by hand"] / ours, "at most 1.5"),
        "masking with proof": (ours / found["legal_store with proof"], "a figure"),
    }
    if "pganonymize" in found:
        wanted["pganonymize"] = (ours / found["pganonymize"], "at least 5")
    return [
        Result(f"{where}: masking without proof beside {peer}", found, "rows/s", ratio, goal if claim else "a figure")
        for peer, (ratio, goal) in wanted.items()
    ]


def _vacuumed(target: dict[str, Any], contestant: Callable[[dict[str, Any]], None]) -> None:
    contestant(target)
    with closing(psycopg2.connect(**target)) as connection:
        connection.autocommit = True
        connection.cursor().execute("VACUUM (FULL, ANALYZE) users, cases, documents")


def _proven(target: dict[str, Any]) -> None:
    with closing(psycopg2.connect(**target)) as connection:
        anonymize(connection, read_rules(CHECKOUT / "anonymize.toml"), new_key())


def _unproven(target: dict[str, Any]) -> None:
    with closing(psycopg2.connect(**target)) as connection:
        anonymize(connection, read_rules(CHECKOUT / "anonymize.toml"), new_key(), proof=False)


def _by_hand(target: dict[str, Any]) -> None:
    with closing(psycopg2.connect(**target)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(BY_HAND)


def _pganonymize(target: dict[str, Any]) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as schema:
        schema.write(PGANONYMIZE)
        schema.flush()
        subprocess.run(
            [PGANONYMIZE_PROGRAM, "--schema", schema.name, "--dbname", target["dbname"],
             "--user", target["user"], "--host", target["host"], "--port", str(target.get("port", 5432))],
            check=True, capture_output=True, env=os.environ,
        )  # fmt: skip


def _orm_loop(target: dict[str, Any], slice_of: int) -> None:
    from legal_store.models import Case, Document, User

    url = f"postgresql://{target['user']}@/{target['dbname']}?host={target['host']}&port={target.get('port', 5432)}"
    db.configure(Settings.from_environ({"DATABASE_URL": Url(url)}))
    with db.connection_context(), all_firms(reason="bench"), db.atomic():
        for model in (User, Case, Document):
            count = model.select().count() // slice_of
            for number, row in enumerate(model.select().limit(count), start=1):
                _change(row, number)
                row.save()
    db.close_all()


def _change(row: Any, number: int) -> None:
    if hasattr(row, "email"):
        row.first_name, row.last_name, row.email = "Demo", f"User {number}", f"demo{number}@example.com"
    elif hasattr(row, "case_number"):
        row.case_number, row.title, row.description = f"DEMO-{number}", f"Demo Case {number}", "A case."
    else:
        row.title, row.content, row.file_name = f"Demo Document {number}", TEXT, f"{number}.pdf"
        row.storage_url = f"https://files.example.com/{number}.pdf"


def _timed(server: dict[str, Any], contestant: Callable[[dict[str, Any]], None]) -> float:
    target = {**server, "dbname": "bench_masked"}
    with closing(psycopg2.connect(**server)) as admin:
        admin.autocommit = True
        admin.cursor().execute("DROP DATABASE IF EXISTS bench_masked WITH (FORCE)")
        admin.cursor().execute("CREATE DATABASE bench_masked TEMPLATE bench_real")
        admin.cursor().execute("CHECKPOINT")
    began = time.perf_counter()
    contestant(target)
    return time.perf_counter() - began


def _fill(server: dict[str, Any], users: int, cases: int, documents: int, *, search_text: bool) -> None:
    with closing(psycopg2.connect(**server)) as admin:
        admin.autocommit = True
        admin.cursor().execute("DROP DATABASE IF EXISTS bench_real WITH (FORCE)")
        admin.cursor().execute("CREATE DATABASE bench_real")
    target = {**server, "dbname": "bench_real"}
    deploy(target, CHECKOUT / "migrations")
    with closing(psycopg2.connect(**target)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            if not search_text:
                cursor.execute("ALTER TABLE documents DROP COLUMN search_text")
            cursor.execute(FILL.format(users=users, cases=cases, documents=documents))
            cursor.execute("VACUUM ANALYZE")
