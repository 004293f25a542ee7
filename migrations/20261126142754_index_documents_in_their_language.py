"""Full text of a document in its own language: half the work to store one, half the index.

Computing the column anew rewrites documents: on a large table plan a quiet moment. Until the end of the transaction
searches wait.
"""


def migrate(migrator, database, *, fake=False):
    migrator.sql(
        r"""
-- lint-ignore: require-concurrent-index-deletion
DROP INDEX "documents_search_text_idx";
CREATE OR REPLACE FUNCTION search_text(title text, content text)
 RETURNS tsvector
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    -- the parser takes 1234/3/2023 for a path, one word: people look for 1234
    heading text := replace(title, '/', ' ');
    words text := replace(CASE WHEN octet_length(content) > 200000
                               THEN "left"(content, 200000) ELSE coalesce(content, '') END, '/', ' ');
    romanian boolean := words ~* '\s(de|la|si|și)\s';
    english boolean := words ~* '\s(the|of|and)\s';
BEGIN
    RETURN setweight(to_tsvector('public.legal_romanian', heading) || to_tsvector('public.legal_english', heading), 'A') || setweight(CASE
        WHEN romanian AND NOT english THEN to_tsvector('public.legal_romanian', words)
        WHEN english AND NOT romanian THEN to_tsvector('public.legal_english', words)
        ELSE to_tsvector('public.legal_romanian', words) || to_tsvector('public.legal_english', words) END, 'B');
END
$function$;
-- lint-ignore: ban-drop-column
ALTER TABLE "documents" DROP COLUMN "search_text";
-- lint-ignore: adding-field-with-default
ALTER TABLE "documents" ADD COLUMN "search_text" tsvector NOT NULL GENERATED ALWAYS AS (search_text(title, content)) STORED;
-- lint-ignore: require-concurrent-index-creation
CREATE INDEX documents_search_text_idx ON documents USING gin (firm_id, search_text) WITH (gin_pending_list_limit='256');
"""
    )


def rollback(migrator, database, *, fake=False):
    migrator.sql(
        r"""
DROP INDEX "documents_search_text_idx";
ALTER TABLE "documents" DROP COLUMN "search_text";
ALTER TABLE "documents" ADD COLUMN "search_text" tsvector NOT NULL GENERATED ALWAYS AS ((((setweight(to_tsvector('legal_romanian'::regconfig, translate(title, '/'::text, ' '::text)), 'A'::"char") || setweight(to_tsvector('legal_english'::regconfig, translate(title, '/'::text, ' '::text)), 'A'::"char")) || setweight(to_tsvector('legal_romanian'::regconfig, translate("left"(COALESCE(content, ''::text), 200000), '/'::text, ' '::text)), 'B'::"char")) || setweight(to_tsvector('legal_english'::regconfig, translate("left"(COALESCE(content, ''::text), 200000), '/'::text, ' '::text)), 'B'::"char"))) STORED;
CREATE INDEX documents_search_text_idx ON documents USING gin (firm_id, search_text) WITH (gin_pending_list_limit='256');
DROP FUNCTION search_text(title text, content text);
"""
    )
