"""SQL that somebody wrote: reading and changing rows, and reaching for more."""

from __future__ import annotations

from typing import Any

from peewee import Table

from legal_store import db
from tests.isolation.operations.worker import CHANGEABLE, LONG, MODELS, Worker, firm_column, nothing, operation
from tests.isolation.world import MARKED, TABLES, LeakError


@operation()
def sql_select_all(w: Worker) -> Any:
    return w.run(f"SELECT * FROM {w.table()}")


@operation()
def sql_model_raw(w: Worker) -> Any:
    table = w.table()
    return list(MODELS[table].raw(f"SELECT * FROM {table}"))


@operation()
def sql_count(w: Worker) -> Any:
    table = w.table()
    ((total, ours),) = w.run(
        f"SELECT count(*), count(*) FILTER (WHERE {firm_column(table)} = %s) FROM {table}", str(w.firm.id)
    )
    if not 0 < total == ours:
        raise LeakError(f"{table}: {total} rows counted, {ours} are ours")


@operation()
def sql_join_on_anything(w: Worker) -> Any:
    kind = w.rng.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN"])
    return w.run(f"SELECT * FROM {w.table()} a {kind} {w.table()} b ON true")


@operation()
def sql_subqueries(w: Worker) -> Any:
    one, two = w.table(), w.table()
    return w.run(
        f"WITH x AS MATERIALIZED (SELECT * FROM {one}) SELECT (SELECT string_agg(t::text, ',') FROM {two} t), x::text"
        f" FROM x WHERE EXISTS (SELECT FROM {two})"
    )


@operation()
def sql_peewee_table_object(w: Worker) -> Any:
    table = Table(w.table()).bind(db)
    return list(table.select().tuples())


@operation()
def sql_peek_with_a_leaky_function(w: Worker) -> Any:
    """A condition that would say what it sees must see no row of others."""
    table = w.table()
    return w.run(f"SELECT 1 FROM {table} t WHERE length(t::text) > 0 AND (t.{MARKED[table]} LIKE %s) IS NOT NULL", "%")


@operation()
def sql_divide_by_theirs(w: Worker) -> Any:
    table, row = w.table(), str(w.theirs("cases"))
    return w.run(f"SELECT 1 / (CASE WHEN id = %s THEN 0 ELSE 1 END) FROM {table}", row)


@operation()
def sql_change_theirs(w: Worker) -> Any:
    table = w.table(CHANGEABLE)
    row = str(w.theirs(table))
    nothing(w.run(f"UPDATE {table} SET {MARKED[table]} = %s WHERE id = %s", w.text(), row))
    nothing(w.run(f"DELETE FROM {table} WHERE id = %s", row))
    nothing(w.run(f"DELETE FROM {table} WHERE {firm_column(table)} = %s", str(w.other.id)))


@operation()
def sql_change_everything(w: Worker) -> Any:
    table = w.table(CHANGEABLE)
    return w.run(f"UPDATE {table} SET {MARKED[table]} = %s || id RETURNING *", w.firm.mark)


@operation()
def sql_delete_everything(w: Worker) -> Any:
    with db.atomic() as transaction:
        deleted = w.run(f"DELETE FROM {w.rng.choice(sorted(LONG))} RETURNING *")
        transaction.rollback()
        return deleted


@operation()
def sql_change_from_another_table(w: Worker) -> Any:
    return w.run("UPDATE documents d SET title = c.title FROM cases c WHERE c.id = d.case_id RETURNING d.*, c.*")


@operation(refused=True)
def sql_insert_for_their_firm(w: Worker) -> Any:
    return w.run("INSERT INTO clients (firm_id, name) VALUES (%s, %s)", str(w.other.id), w.text())


@operation(refused=True)
def sql_give_to_their_firm(w: Worker) -> Any:
    return w.run("UPDATE case_actors SET firm_id = %s", str(w.other.id))


@operation(refused=True)
def sql_refer_to_theirs(w: Worker) -> Any:
    return w.run("UPDATE documents SET case_id = %s RETURNING id", str(w.theirs("cases")))


@operation(refused=True)
def sql_rename_the_firm_to_theirs(w: Worker) -> Any:
    return w.run("UPDATE firms SET id = %s", str(w.other.id))


@operation(refused=True)
def sql_overwrite_on_conflict(w: Worker) -> Any:
    return w.run(
        "INSERT INTO users (firm_id, email, first_name, last_name, role) VALUES (%s, %s, %s, 'X', 'Partner')"
        " ON CONFLICT (email) DO UPDATE SET first_name = excluded.first_name RETURNING *",
        str(w.firm.id),
        w.other.email(0),
        w.text(),
    )


@operation()
def sql_merge(w: Worker) -> Any:
    return w.run(
        "MERGE INTO case_actors t USING (SELECT %s::uuid AS id) s ON t.id = s.id"
        " WHEN MATCHED THEN UPDATE SET name = %s",
        str(w.theirs("case_actors")),
        w.text(),
    )


@operation(refused=True, needs_scope=False)
def sql_beyond_its_rights(w: Worker) -> Any:
    table = w.table()
    statement = w.rng.choice(
        [
            f"TRUNCATE {table} CASCADE",
            f"DROP TABLE {table} CASCADE",
            f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
            f"DROP POLICY firm_isolation ON {table}",
            f"CREATE POLICY mine ON {table} USING (true)",
            f"CREATE TRIGGER t BEFORE INSERT ON {table} EXECUTE FUNCTION update_updated_at_column()",
            f"CREATE VIEW public.v AS SELECT * FROM {table}",
            "CREATE FUNCTION public.current_firm_id(int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "CREATE OR REPLACE FUNCTION current_firm_id() RETURNS uuid LANGUAGE sql AS 'SELECT gen_random_uuid()'",
            "ALTER ROLE legal_store_service BYPASSRLS",
            "SET session_replication_role = replica",
            f"COPY {table} TO PROGRAM 'cat'",
            f"COPY {table} TO '/tmp/stolen'",
            f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE; TRUNCATE {table}",
            "SELECT * FROM pg_authid",
            "SELECT * FROM pg_statistic",
            "SELECT pg_read_file('PG_VERSION')",
            "INSERT INTO firms (name, vat_id) VALUES ('x', 'x')",
            "DELETE FROM firms",
            "UPDATE case_audit_logs SET action = 'x'",
            "DELETE FROM user_audit_logs",
            f"SET row_security = off; SELECT * FROM {table}",
        ]
    )
    return w.run(statement)


@operation(needs_scope=False)
def sql_statistics_of_columns(w: Worker) -> Any:
    return w.run(
        "SELECT most_common_vals::text, histogram_bounds::text FROM pg_stats WHERE tablename = ANY (%s)", list(TABLES)
    )


@operation()
def sql_view_of_ones_own(w: Worker) -> Any:
    return w.run(f"CREATE TEMP VIEW v AS SELECT * FROM {w.table()}; SELECT * FROM v; DROP VIEW v") or w.run(
        "SELECT * FROM template_effectiveness_report"
    )


@operation()
def sql_procedural_block(w: Worker) -> Any:
    table = w.table()
    nothing(
        w.run(
            f"DO $$ BEGIN IF EXISTS (SELECT FROM {table} WHERE {firm_column(table)} <> '{w.firm.id}')"
            " THEN RAISE EXCEPTION 'seen'; END IF; END $$"
        )
        * 0
    )


@operation(needs_scope=False)
def sql_explain(w: Worker) -> Any:
    return w.run(f"EXPLAIN (FORMAT JSON) SELECT * FROM {w.table()}")


@operation()
def sql_system_columns_and_rows(w: Worker) -> Any:
    table = w.table()
    return w.run(f"SELECT ctid::text, tableoid::regclass::text, t FROM {table} t, LATERAL row_to_json(t)")


@operation(needs_scope=False)
def sql_write_and_read_a_usage_log(w: Worker) -> Any:
    """Logs belong to no firm, so that their figures are everybody's."""
    cursor = db.execute_sql(
        "INSERT INTO skill_usage_logs (skill_id, execution_time_ms, tokens_used, success, error_message, input_data)"
        " SELECT id, 1, 1, false, %s, jsonb_build_object('text', %s::text) FROM skills RETURNING id, skill_id, success",
        (w.text(), w.text()),
    )
    return cursor.fetchall() + w.run("SELECT id, tokens_used, executed_at FROM skill_usage_logs LIMIT 50")


@operation(refused=True, needs_scope=False)
def sql_read_or_change_texts_of_usage_logs(w: Worker) -> Any:
    return w.run(
        w.rng.choice(
            [
                "SELECT error_message FROM skill_usage_logs",
                "SELECT input_data FROM skill_usage_logs",
                "SELECT l FROM skill_usage_logs l",
                "SELECT 1 FROM skill_usage_logs WHERE output_data::text LIKE '%%firm%%'",
                "UPDATE skill_usage_logs SET error_message = '' RETURNING error_message",
                "DELETE FROM skill_usage_logs",
                "SELECT use_case FROM template_usage_logs",
            ]
        )
    )
