-- Enables the three extensions that the schema needs. Safe to run again.
-- Run it as the database owner or a superuser: psql "$DATABASE_URL" -f migrations/000_enable_extensions.sql
--   uuid-ossp  uuid_generate_v4() for keys
--   vector     embeddings of documents (pgvector 0.5 or later)
--   pg_trgm    search for names and titles with typing errors

-- migrate:up
DO $$
DECLARE
    missing text;
BEGIN
    SELECT string_agg(format('%s (%s)', needed.name, needed.remedy), '; ' ORDER BY needed.name)
    INTO missing
    FROM (VALUES
        ('uuid-ossp', 'in the package postgresql-contrib'),
        ('pg_trgm', 'in the package postgresql-contrib'),
        ('vector', 'in the package postgresql-NN-pgvector, or the image pgvector/pgvector')
    ) AS needed (name, remedy)
    WHERE NOT EXISTS (SELECT FROM pg_available_extensions AS a WHERE a.name = needed.name);

    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'this server lacks an extension that legal_store needs: %', missing
            USING ERRCODE = 'feature_not_supported',
                  HINT = 'Install it on the server, or enable it in the dashboard of your database host, then run this again.';
    END IF;
END
$$;

CREATE EXTENSION IF NOT EXISTS "uuid-ossp";
CREATE EXTENSION IF NOT EXISTS "vector";
CREATE EXTENSION IF NOT EXISTS "pg_trgm";

DO $$
DECLARE
    found text := (SELECT extversion FROM pg_extension WHERE extname = 'vector');
BEGIN
    IF string_to_array(found, '.')::int[] < ARRAY[0, 5] THEN
        RAISE EXCEPTION 'pgvector % is too old: 0.5 or later is needed', found
            USING HINT = 'Install a newer pgvector on the server, then ALTER EXTENSION vector UPDATE.';
    END IF;
END
$$;

\quit
-- migrate:down
DROP EXTENSION IF EXISTS "pg_trgm";
DROP EXTENSION IF EXISTS "vector";
DROP EXTENSION IF EXISTS "uuid-ossp";
