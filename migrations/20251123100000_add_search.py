"""Search by spelling and by words inside one firm: normalised words, full text, and functions for services.

Filling the new columns rewrites clients, cases, case_actors and documents: on large tables plan a quiet moment.
"""


def migrate(migrator, database, *, fake=False):
    migrator.sql(
        r"""
CREATE EXTENSION IF NOT EXISTS "unaccent";
CREATE EXTENSION IF NOT EXISTS "btree_gin";
CREATE TEXT SEARCH CONFIGURATION "legal_romanian" (COPY = pg_catalog.romanian);
ALTER TEXT SEARCH CONFIGURATION "legal_romanian" ALTER MAPPING FOR hword, hword_part, word WITH public.unaccent, romanian_stem;
CREATE TEXT SEARCH CONFIGURATION "legal_english" (COPY = pg_catalog.english);
ALTER TEXT SEARCH CONFIGURATION "legal_english" ALTER MAPPING FOR hword, hword_part, word WITH public.unaccent, english_stem;
CREATE OR REPLACE FUNCTION search_words(given text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $function$
SELECT ' ' || trim(regexp_replace(
    lower(public.unaccent('public.unaccent', normalize(given, NFKC))), '[^[:alnum:]]+', ' ', 'g'))
$function$;
-- lint-ignore: adding-field-with-default
ALTER TABLE "clients"
    ADD COLUMN "search_words" TEXT NOT NULL GENERATED ALWAYS AS (search_words(name)) STORED;
-- lint-ignore: adding-field-with-default
ALTER TABLE "cases"
    ADD COLUMN "search_words" TEXT NOT NULL GENERATED ALWAYS AS (search_words(title)) STORED;
-- lint-ignore: adding-field-with-default
ALTER TABLE "case_actors"
    ADD COLUMN "search_words" TEXT NOT NULL GENERATED ALWAYS AS (search_words(name)) STORED;
-- lint-ignore: adding-field-with-default
ALTER TABLE "documents"
    ADD COLUMN "embedded_with" TEXT,
    ADD COLUMN "search_words" TEXT NOT NULL GENERATED ALWAYS AS (search_words(title)) STORED,
    ADD COLUMN "search_text" TSVECTOR NOT NULL GENERATED ALWAYS AS (setweight(to_tsvector('public.legal_romanian', translate(title, '/', ' ')), 'A') || setweight(to_tsvector('public.legal_english', translate(title, '/', ' ')), 'A') || setweight(to_tsvector('public.legal_romanian', translate("left"(COALESCE(content, ''), 200000), '/', ' ')), 'B') || setweight(to_tsvector('public.legal_english', translate("left"(COALESCE(content, ''), 200000), '/', ' ')), 'B')) STORED,
    ADD COLUMN "content_hash" TEXT NOT NULL GENERATED ALWAYS AS (md5(title || E'\n' || COALESCE(content, ''))) STORED;
-- lint-ignore: require-concurrent-index-deletion
DROP INDEX "clients_name_trgm_idx";
-- lint-ignore: require-concurrent-index-creation
CREATE INDEX "clients_search_words_idx" ON "clients" USING gin (firm_id, search_words gin_trgm_ops) WITH (gin_pending_list_limit = 256);
-- lint-ignore: require-concurrent-index-deletion
DROP INDEX "cases_title_trgm_idx";
-- lint-ignore: require-concurrent-index-creation
CREATE INDEX "cases_search_words_idx" ON "cases" USING gin (firm_id, search_words gin_trgm_ops) WITH (gin_pending_list_limit = 256);
-- lint-ignore: require-concurrent-index-deletion
DROP INDEX "case_actors_name_trgm_idx";
-- lint-ignore: require-concurrent-index-creation
CREATE INDEX "case_actors_search_words_idx" ON "case_actors" USING gin (firm_id, search_words gin_trgm_ops) WITH (gin_pending_list_limit = 256);
-- lint-ignore: require-concurrent-index-deletion
DROP INDEX "documents_title_trgm_idx";
-- lint-ignore: require-concurrent-index-creation
CREATE INDEX "documents_search_words_idx" ON "documents" USING gin (firm_id, search_words gin_trgm_ops) WITH (gin_pending_list_limit = 256);
-- lint-ignore: require-concurrent-index-creation
CREATE INDEX "documents_search_text_idx" ON "documents" USING gin (firm_id, search_text) WITH (gin_pending_list_limit = 256);
-- lint-ignore: require-concurrent-index-creation
CREATE INDEX "documents_embedded_idx" ON "documents" USING btree (firm_id, document_type, status, case_id, created_at) WHERE content_embedding IS NOT NULL;
CREATE TABLE "search_calibrations" (
    "id" UUID NOT NULL DEFAULT uuid_generate_v4(),
    "measured_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "documents" INTEGER NOT NULL,
    "exact_row_us" DOUBLE PRECISION NOT NULL,
    "index_start_us" DOUBLE PRECISION NOT NULL,
    "index_row_us" DOUBLE PRECISION NOT NULL,
    "ef_search" INTEGER NOT NULL,
    "overfetch" INTEGER NOT NULL,
    "recall" DOUBLE PRECISION NOT NULL,
    "figures" JSONB NOT NULL DEFAULT '{}',
    CONSTRAINT "search_calibrations_pkey" PRIMARY KEY (id),
    CONSTRAINT "search_calibrations_costs_check" CHECK (exact_row_us > 0 AND index_start_us > 0 AND index_row_us > 0),
    CONSTRAINT "search_calibrations_ef_search_check" CHECK (ef_search BETWEEN 1 AND 1000),
    CONSTRAINT "search_calibrations_overfetch_check" CHECK (overfetch >= 0),
    CONSTRAINT "search_calibrations_recall_check" CHECK (recall BETWEEN 0 AND 1)
);
CREATE INDEX "search_calibrations_measured_at_idx" ON "search_calibrations" USING btree (measured_at DESC);
CREATE OR REPLACE FUNCTION search_names(query text, of_kinds text[], in_cases uuid[], of_types text[], of_statuses text[], created_from timestamptz, created_before timestamptz, at_most integer) RETURNS TABLE (kind text, id uuid, case_id uuid, label text, score double precision)
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE SET search_path = pg_catalog, public, pg_temp SET plan_cache_mode = force_custom_plan AS $function$
#variable_conflict use_column
DECLARE
    firm uuid := public.current_firm_id();
    words text := public.search_words(query);
BEGIN
    IF length(words) < 2 THEN
        RETURN;
    ELSIF words !~ '[^ ]{3}' THEN
        -- fewer than three letters have no trigram: words that begin with them; search_words holds no % and no _
        RETURN QUERY SELECT found.* FROM (
        SELECT 'case' AS kind, row.id, row.id AS case_id, row.title AS label,
               (0.5 * public.word_similarity(words, row.search_words)
                + 0.5 * public.similarity(words, row.search_words))::double precision AS score
        FROM public.cases AS row
        WHERE 'case' = ANY (of_kinds) AND row.firm_id = firm AND row.search_words LIKE replace(words, ' ', '% ') || '%'
          AND (in_cases IS NULL OR row.id = ANY (in_cases))
    UNION ALL
        SELECT 'document' AS kind, row.id, row.case_id AS case_id, row.title AS label,
               (0.5 * public.word_similarity(words, row.search_words)
                + 0.5 * public.similarity(words, row.search_words))::double precision AS score
        FROM public.documents AS row
        WHERE 'document' = ANY (of_kinds) AND row.firm_id = firm AND row.search_words LIKE replace(words, ' ', '% ') || '%'
          AND (in_cases IS NULL OR row.case_id = ANY (in_cases))
          AND (of_types IS NULL OR row.document_type = ANY (of_types))
          AND (of_statuses IS NULL OR row.status = ANY (of_statuses))
          AND (created_from IS NULL OR row.created_at >= created_from)
          AND (created_before IS NULL OR row.created_at < created_before)
    UNION ALL
        SELECT 'client' AS kind, row.id, NULL::uuid AS case_id, row.name AS label,
               (0.5 * public.word_similarity(words, row.search_words)
                + 0.5 * public.similarity(words, row.search_words))::double precision AS score
        FROM public.clients AS row
        WHERE 'client' = ANY (of_kinds) AND row.firm_id = firm AND row.search_words LIKE replace(words, ' ', '% ') || '%'
          AND (in_cases IS NULL OR NULL::uuid = ANY (in_cases))
    UNION ALL
        SELECT 'party' AS kind, row.id, row.case_id AS case_id, row.name AS label,
               (0.5 * public.word_similarity(words, row.search_words)
                + 0.5 * public.similarity(words, row.search_words))::double precision AS score
        FROM public.case_actors AS row
        WHERE 'party' = ANY (of_kinds) AND row.firm_id = firm AND row.search_words LIKE replace(words, ' ', '% ') || '%'
          AND (in_cases IS NULL OR row.case_id = ANY (in_cases))
    ) AS found ORDER BY found.score DESC, found.id LIMIT at_most;
    ELSE
        RETURN QUERY SELECT found.* FROM (
        SELECT 'case' AS kind, row.id, row.id AS case_id, row.title AS label,
               (0.5 * public.word_similarity(words, row.search_words)
                + 0.5 * public.similarity(words, row.search_words))::double precision AS score
        FROM public.cases AS row
        WHERE 'case' = ANY (of_kinds) AND row.firm_id = firm AND row.search_words OPERATOR(public.%>) words
          AND (in_cases IS NULL OR row.id = ANY (in_cases))
    UNION ALL
        SELECT 'document' AS kind, row.id, row.case_id AS case_id, row.title AS label,
               (0.5 * public.word_similarity(words, row.search_words)
                + 0.5 * public.similarity(words, row.search_words))::double precision AS score
        FROM public.documents AS row
        WHERE 'document' = ANY (of_kinds) AND row.firm_id = firm AND row.search_words OPERATOR(public.%>) words
          AND (in_cases IS NULL OR row.case_id = ANY (in_cases))
          AND (of_types IS NULL OR row.document_type = ANY (of_types))
          AND (of_statuses IS NULL OR row.status = ANY (of_statuses))
          AND (created_from IS NULL OR row.created_at >= created_from)
          AND (created_before IS NULL OR row.created_at < created_before)
    UNION ALL
        SELECT 'client' AS kind, row.id, NULL::uuid AS case_id, row.name AS label,
               (0.5 * public.word_similarity(words, row.search_words)
                + 0.5 * public.similarity(words, row.search_words))::double precision AS score
        FROM public.clients AS row
        WHERE 'client' = ANY (of_kinds) AND row.firm_id = firm AND row.search_words OPERATOR(public.%>) words
          AND (in_cases IS NULL OR NULL::uuid = ANY (in_cases))
    UNION ALL
        SELECT 'party' AS kind, row.id, row.case_id AS case_id, row.name AS label,
               (0.5 * public.word_similarity(words, row.search_words)
                + 0.5 * public.similarity(words, row.search_words))::double precision AS score
        FROM public.case_actors AS row
        WHERE 'party' = ANY (of_kinds) AND row.firm_id = firm AND row.search_words OPERATOR(public.%>) words
          AND (in_cases IS NULL OR row.case_id = ANY (in_cases))
    ) AS found ORDER BY found.score DESC, found.id LIMIT at_most;
    END IF;
END
$function$;
CREATE OR REPLACE FUNCTION search_contents(query tsquery, in_cases uuid[], of_types text[], of_statuses text[], created_from timestamptz, created_before timestamptz, at_most integer) RETURNS TABLE (id uuid, score double precision)
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE SET search_path = pg_catalog, public, pg_temp SET plan_cache_mode = force_custom_plan AS $function$
#variable_conflict use_column
DECLARE
    firm uuid := public.current_firm_id();
BEGIN
    RETURN QUERY SELECT found.* FROM (
        SELECT row.id, ts_rank(row.search_text, query, 1)::double precision AS score
        FROM public.documents AS row
        WHERE row.firm_id = firm AND row.search_text @@ query
          AND (in_cases IS NULL OR row.case_id = ANY (in_cases))
          AND (of_types IS NULL OR row.document_type = ANY (of_types))
          AND (of_statuses IS NULL OR row.status = ANY (of_statuses))
          AND (created_from IS NULL OR row.created_at >= created_from)
          AND (created_before IS NULL OR row.created_at < created_before)
    ) AS found ORDER BY found.score DESC, found.id LIMIT at_most;
END
$function$;
REVOKE EXECUTE ON FUNCTION search_names(query text, of_kinds text[], in_cases uuid[], of_types text[], of_statuses text[], created_from timestamptz, created_before timestamptz, at_most integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION search_names(query text, of_kinds text[], in_cases uuid[], of_types text[], of_statuses text[], created_from timestamptz, created_before timestamptz, at_most integer) TO "legal_store_service";
REVOKE EXECUTE ON FUNCTION search_contents(query tsquery, in_cases uuid[], of_types text[], of_statuses text[], created_from timestamptz, created_before timestamptz, at_most integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION search_contents(query tsquery, in_cases uuid[], of_types text[], of_statuses text[], created_from timestamptz, created_before timestamptz, at_most integer) TO "legal_store_service";
GRANT SELECT ON "search_calibrations" TO "legal_store_service";
"""
    )


def rollback(migrator, database, *, fake=False):
    migrator.sql(
        r"""
DROP FUNCTION search_contents(tsquery, uuid[], text[], text[], timestamptz, timestamptz, integer);
DROP FUNCTION search_names(text, text[], uuid[], text[], text[], timestamptz, timestamptz, integer);
DROP TABLE "search_calibrations";
DROP INDEX "documents_embedded_idx";
ALTER TABLE "documents" DROP COLUMN "content_hash", DROP COLUMN "search_text", DROP COLUMN "search_words", DROP COLUMN "embedded_with";
ALTER TABLE "case_actors" DROP COLUMN "search_words";
ALTER TABLE "cases" DROP COLUMN "search_words";
ALTER TABLE "clients" DROP COLUMN "search_words";
DROP FUNCTION search_words(text);
DROP TEXT SEARCH CONFIGURATION "legal_english";
DROP TEXT SEARCH CONFIGURATION "legal_romanian";
CREATE INDEX "clients_name_trgm_idx" ON "clients" USING gin (name gin_trgm_ops);
CREATE INDEX "cases_title_trgm_idx" ON "cases" USING gin (title gin_trgm_ops);
CREATE INDEX "case_actors_name_trgm_idx" ON "case_actors" USING gin (name gin_trgm_ops);
CREATE INDEX "documents_title_trgm_idx" ON "documents" USING gin (title gin_trgm_ops);
DROP EXTENSION "btree_gin";
DROP EXTENSION "unaccent";
"""
    )
