"""A chain of migrations of all kinds, transactional and not, SQL and Python, for tests that cut it anywhere."""

from __future__ import annotations

from pathlib import Path

from tests.migrate.support import write

OFF = "-- transaction: off\n"


def write_corpus(folder: Path) -> Path:
    """Write the chain into `folder` and return it."""
    return write(
        folder,
        a001_tables="CREATE TABLE firm (id int PRIMARY KEY, name text NOT NULL);"
        "CREATE TABLE matter (id int PRIMARY KEY, firm_id int, title text, fee numeric(9, 2),"
        " state text DEFAULT 'new');",
        a002_rows="INSERT INTO firm SELECT n, 'firm ' || n FROM generate_series(1, 20) n;"
        "INSERT INTO matter SELECT n, n % 20 + 1, '100% ' || n, n FROM generate_series(1, 400) n;",
        a003_index=OFF + "CREATE INDEX CONCURRENTLY matter_title_idx ON matter (title);",
        a004_reference=OFF + "ALTER TABLE matter ADD CONSTRAINT matter_firm_fkey FOREIGN KEY (firm_id) REFERENCES firm"
        " NOT VALID; ALTER TABLE matter VALIDATE CONSTRAINT matter_firm_fkey;",
        a005_count_up=OFF
        + "UPDATE matter SET fee = fee + 1; UPDATE matter SET fee = fee * 2; UPDATE firm SET id = id;",
        a006_function="CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $body$\nBEGIN\n"
        "    NEW.title := NEW.title || ';'; RETURN NEW;\nEND $body$;",
        a007_trigger="CREATE TRIGGER matter_stamp BEFORE UPDATE ON matter FOR EACH ROW EXECUTE FUNCTION stamp();",
        a008_sql_body="CREATE FUNCTION total() RETURNS numeric LANGUAGE sql\n"
        "BEGIN ATOMIC SELECT sum(fee) FROM matter; END;",
        a009_view="CREATE VIEW open_matter AS SELECT id, title FROM matter WHERE state LIKE 'n%';",
        a010_enum="CREATE TYPE urgency AS ENUM ('low', 'high');\nALTER TABLE matter ADD COLUMN urgency urgency;",
        a011_enum_value=OFF
        + "ALTER TYPE urgency ADD VALUE 'highest';\nUPDATE matter SET urgency = 'highest' WHERE id < 9;",
        a012_unique=OFF + "CREATE UNIQUE INDEX CONCURRENTLY firm_name_key ON firm (name);\n"
        "ALTER TABLE firm ADD CONSTRAINT firm_name_key UNIQUE USING INDEX firm_name_key;",
        a013_policy="ALTER TABLE matter ENABLE ROW LEVEL SECURITY;"
        "CREATE POLICY own ON matter USING (firm_id = current_setting('x.firm', true)::int);",
        a014_reindex=OFF + "REINDEX INDEX CONCURRENTLY matter_title_idx;\nVACUUM matter;",
        a015_drop_index=OFF + "DROP INDEX CONCURRENTLY matter_title_idx;\nSELECT 1;",
        a016_partitions="CREATE TABLE log (at date NOT NULL, what text) PARTITION BY RANGE (at);"
        "CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM ('2025-01-01') TO ('2025-02-01');"
        "CREATE TABLE log_2 PARTITION OF log FOR VALUES FROM ('2025-02-01') TO ('2025-03-01');",
        a017_detach=OFF + "ALTER TABLE log DETACH PARTITION log_1 CONCURRENTLY;",
        a018_summary="CREATE MATERIALIZED VIEW per_firm AS SELECT firm_id, count(*) AS n FROM matter GROUP BY firm_id;"
        "CREATE UNIQUE INDEX per_firm_key ON per_firm (firm_id);",
        a019_refresh=OFF + "INSERT INTO matter (id, firm_id) VALUES (1000, 1);\n"
        "REFRESH MATERIALIZED VIEW CONCURRENTLY per_firm;",
        a020_not_null=OFF + "ALTER TABLE matter ADD CONSTRAINT firm_given CHECK (firm_id IS NOT NULL) NOT VALID;"
        "ALTER TABLE matter VALIDATE CONSTRAINT firm_given; ALTER TABLE matter ALTER firm_id SET NOT NULL;"
        "ALTER TABLE matter DROP CONSTRAINT firm_given;",
        a021_comment="COMMENT ON TABLE matter IS 'it''s a /* matter */ -- really';",
        a20250101000000_note_py="import peewee as pw\n\n\ndef migrate(migrator, database, *, fake=False):\n"
        "    class Note(pw.Model):\n        text = pw.TextField()\n\n        class Meta:\n"
        "            table_name = 'note'\n\n"
        "    migrator.create_model(Note)\n"
        "    migrator.sql(\"INSERT INTO note (text) SELECT 'n' WHERE 'abc' LIKE 'a%';"
        " UPDATE note SET text = text || '!'\")\n",
        a20250102000000_steps_py="transaction = False\n\n\ndef migrate(migrator, database, *, fake=False):\n"
        "    migrator.sql('ALTER TABLE note ADD COLUMN more text')\n"
        "    migrator.sql('CREATE INDEX CONCURRENTLY note_more_idx ON note (more)')\n"
        "    migrator.run(lambda: database.execute_sql(\"INSERT INTO note (text) VALUES ('called')\"))\n",
    )
