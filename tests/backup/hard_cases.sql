CREATE SCHEMA "Schemă cu spații";
CREATE TYPE mood AS ENUM ('calm', 'îngrijorat');
CREATE TYPE pair AS (a integer, b text);
CREATE DOMAIN short_text AS text CHECK (length(value) < 1000);

CREATE TABLE "Schemă cu spații"."Tabel ""citat""" (
    id bigint GENERATED ALWAYS AS IDENTITY (START 1000 INCREMENT 7) PRIMARY KEY,
    text_value text, empty_or_null short_text, real_value double precision, exact numeric,
    happened timestamptz, day date, bytes bytea, document jsonb, old_document json, mood mood, moods mood[],
    pair pair, pairs pair[], words tsvector, numbers integer[], place point, span int4range, embedding vector(3),
    embeddings vector(3)[], address inet, length interval,
    doubled numeric GENERATED ALWAYS AS (exact * 2) STORED,
    CONSTRAINT sane CHECK (exact IS NULL OR exact <> 13)
);
COMMENT ON COLUMN "Schemă cu spații"."Tabel ""citat""".text_value IS 'comentariu: „ăîâșț” 𝄞';

INSERT INTO "Schemă cu spații"."Tabel ""citat"""
    (text_value, empty_or_null, real_value, exact, happened, day, bytes, document, old_document, mood, moods, pair,
     pairs, words, numbers, place, span, embedding, embeddings, address, length)
VALUES
    ('ăîâșțĂÎÂȘȚ 𝄞 🏛 漢字', '', 'NaN', 'NaN', 'infinity', '-infinity', '\x00ff5c'::bytea, '{"a": [1.0, null]}',
     '{"b":  1, "b": 2}', 'îngrijorat', '{calm,NULL}', (1, 'x'), ARRAY[(2, NULL)::pair], 'casa:1A', '{}', '(1,2)',
     '[1,5)', '[1,2,3]', ARRAY['[1,2,3]'::vector(3)], '10.0.0.1/8', '1 mon -3 days 00:00:01.5'),
    (E'back\\slash \\. \\N tab\there\nnew line\r\x01', NULL, 'Infinity', 'Infinity', '-infinity', 'infinity', ''::bytea,
     'null', NULL, NULL, NULL, NULL, NULL, NULL, '{NULL,1}', NULL, 'empty', NULL, NULL, NULL, NULL),
    (E'\\.', E'\\N', '-Infinity', 1.10, '2025-01-20 14:30:00.123456+02', '0044-03-15 BC', NULL, '{}', NULL, 'calm', '{}',
     (NULL, ''), '{}', '', '{{1,2},{3,4}}', '(-0,0)', '(,)', '[0,-0,1e-30]', '{}', '::1', '0'),
    ('', '', '-0', 1.100, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
     NULL, NULL);

CREATE TABLE events (at date NOT NULL, what text NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE events_old PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE events_new PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE events_rest PARTITION OF events DEFAULT;
INSERT INTO events SELECT date '2023-06-01' + n, 'event ' || n FROM generate_series(1, 900) n;
CREATE TABLE parent (a integer); CREATE TABLE child (b integer) INHERITS (parent);
INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2, 3);
CREATE TABLE no_columns (); INSERT INTO no_columns DEFAULT VALUES;
CREATE UNLOGGED TABLE unlogged_rows AS SELECT n FROM generate_series(1, 10) n;

CREATE SEQUENCE odd_numbers INCREMENT 2 START 11;
SELECT nextval('odd_numbers'), nextval('odd_numbers');
CREATE SEQUENCE never_called START 42;
SELECT lo_from_bytea(424242, decode(repeat('00ff41', 5000), 'hex'));
COMMENT ON LARGE OBJECT 424242 IS 'a large object';

CREATE MATERIALIZED VIEW events_by_month AS SELECT date_trunc('month', at) AS month, count(*) FROM events GROUP BY 1;
CREATE VIEW recent AS SELECT * FROM events WHERE at > '2025-06-01';
CREATE TABLE notes (id integer PRIMARY KEY, owner text NOT NULL DEFAULT current_user, note text);
INSERT INTO notes SELECT n, 'somebody', 'note ' || n FROM generate_series(1, 50) n;
CREATE INDEX notes_trigrams ON notes USING gin (note gin_trgm_ops);
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
ALTER TABLE notes FORCE ROW LEVEL SECURITY;
CREATE POLICY own_notes ON notes FOR SELECT USING (owner = current_user);
GRANT SELECT (id), UPDATE (note) ON notes TO PUBLIC;
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.note := NEW.note || ''!''; RETURN NEW; END';
CREATE TRIGGER stamp BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION stamp();
CREATE TABLE remarks (id integer PRIMARY KEY, note integer REFERENCES notes DEFERRABLE INITIALLY DEFERRED);
INSERT INTO remarks VALUES (1, 1), (2, NULL);
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC;
