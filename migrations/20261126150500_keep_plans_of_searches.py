"""Keep plans of searches."""


def migrate(migrator, database, *, fake=False):
    migrator.sql(
        r"""
CREATE OR REPLACE FUNCTION search_names(query text, of_kinds text[], at_most integer)
 RETURNS TABLE(kind text, id uuid, label text, case_id uuid, score double precision)
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
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
        SELECT 'case' AS kind, row.id, row.title AS label, row.id AS case_id,
               (0.5 * public.word_similarity(words, row.search_words)
                + 0.5 * public.similarity(words, row.search_words))::double precision AS score
        FROM public.cases AS row
        WHERE 'case' = ANY (of_kinds) AND row.firm_id = firm AND row.search_words LIKE replace(words, ' ', '% ') || '%'
        UNION ALL
        SELECT 'document' AS kind, row.id, row.title AS label, row.case_id AS case_id,
               (0.5 * public.word_similarity(words, row.search_words)
                + 0.5 * public.similarity(words, row.search_words))::double precision AS score
        FROM public.documents AS row
        WHERE 'document' = ANY (of_kinds) AND row.firm_id = firm AND row.search_words LIKE replace(words, ' ', '% ') || '%'
        UNION ALL
        SELECT 'client' AS kind, row.id, row.name AS label, NULL::uuid AS case_id,
               (0.5 * public.word_similarity(words, row.search_words)
                + 0.5 * public.similarity(words, row.search_words))::double precision AS score
        FROM public.clients AS row
        WHERE 'client' = ANY (of_kinds) AND row.firm_id = firm AND row.search_words LIKE replace(words, ' ', '% ') || '%'
        UNION ALL
        SELECT 'party' AS kind, row.id, row.name AS label, row.case_id AS case_id,
               (0.5 * public.word_similarity(words, row.search_words)
                + 0.5 * public.similarity(words, row.search_words))::double precision AS score
        FROM public.case_actors AS row
        WHERE 'party' = ANY (of_kinds) AND row.firm_id = firm AND row.search_words LIKE replace(words, ' ', '% ') || '%'
        ) AS found ORDER BY found.score DESC, found.id LIMIT at_most;
    ELSE
        RETURN QUERY SELECT found.* FROM (
        SELECT 'case' AS kind, row.id, row.title AS label, row.id AS case_id,
               (0.5 * public.word_similarity(words, row.search_words)
                + 0.5 * public.similarity(words, row.search_words))::double precision AS score
        FROM public.cases AS row
        WHERE 'case' = ANY (of_kinds) AND row.firm_id = firm AND row.search_words OPERATOR(public.%>) words
        UNION ALL
        SELECT 'document' AS kind, row.id, row.title AS label, row.case_id AS case_id,
               (0.5 * public.word_similarity(words, row.search_words)
                + 0.5 * public.similarity(words, row.search_words))::double precision AS score
        FROM public.documents AS row
        WHERE 'document' = ANY (of_kinds) AND row.firm_id = firm AND row.search_words OPERATOR(public.%>) words
        UNION ALL
        SELECT 'client' AS kind, row.id, row.name AS label, NULL::uuid AS case_id,
               (0.5 * public.word_similarity(words, row.search_words)
                + 0.5 * public.similarity(words, row.search_words))::double precision AS score
        FROM public.clients AS row
        WHERE 'client' = ANY (of_kinds) AND row.firm_id = firm AND row.search_words OPERATOR(public.%>) words
        UNION ALL
        SELECT 'party' AS kind, row.id, row.name AS label, row.case_id AS case_id,
               (0.5 * public.word_similarity(words, row.search_words)
                + 0.5 * public.similarity(words, row.search_words))::double precision AS score
        FROM public.case_actors AS row
        WHERE 'party' = ANY (of_kinds) AND row.firm_id = firm AND row.search_words OPERATOR(public.%>) words
        ) AS found ORDER BY found.score DESC, found.id LIMIT at_most;
    END IF;
END
$function$;
CREATE OR REPLACE FUNCTION search_names(query text, of_kinds text[], at_most integer, in_cases uuid[], of_types text[], of_statuses text[], created_from timestamp with time zone, created_before timestamp with time zone)
 RETURNS TABLE(kind text, id uuid, label text, case_id uuid, score double precision)
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
 SET plan_cache_mode TO 'force_custom_plan'
AS $function$
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
        SELECT 'case' AS kind, row.id, row.title AS label, row.id AS case_id,
               (0.5 * public.word_similarity(words, row.search_words)
                + 0.5 * public.similarity(words, row.search_words))::double precision AS score
        FROM public.cases AS row
        WHERE 'case' = ANY (of_kinds) AND row.firm_id = firm AND row.search_words LIKE replace(words, ' ', '% ') || '%'
          AND (in_cases IS NULL OR row.id = ANY (in_cases))
        UNION ALL
        SELECT 'document' AS kind, row.id, row.title AS label, row.case_id AS case_id,
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
        SELECT 'client' AS kind, row.id, row.name AS label, NULL::uuid AS case_id,
               (0.5 * public.word_similarity(words, row.search_words)
                + 0.5 * public.similarity(words, row.search_words))::double precision AS score
        FROM public.clients AS row
        WHERE 'client' = ANY (of_kinds) AND row.firm_id = firm AND row.search_words LIKE replace(words, ' ', '% ') || '%'
          AND (in_cases IS NULL OR NULL::uuid = ANY (in_cases))
        UNION ALL
        SELECT 'party' AS kind, row.id, row.name AS label, row.case_id AS case_id,
               (0.5 * public.word_similarity(words, row.search_words)
                + 0.5 * public.similarity(words, row.search_words))::double precision AS score
        FROM public.case_actors AS row
        WHERE 'party' = ANY (of_kinds) AND row.firm_id = firm AND row.search_words LIKE replace(words, ' ', '% ') || '%'
          AND (in_cases IS NULL OR row.case_id = ANY (in_cases))
        ) AS found ORDER BY found.score DESC, found.id LIMIT at_most;
    ELSE
        RETURN QUERY SELECT found.* FROM (
        SELECT 'case' AS kind, row.id, row.title AS label, row.id AS case_id,
               (0.5 * public.word_similarity(words, row.search_words)
                + 0.5 * public.similarity(words, row.search_words))::double precision AS score
        FROM public.cases AS row
        WHERE 'case' = ANY (of_kinds) AND row.firm_id = firm AND row.search_words OPERATOR(public.%>) words
          AND (in_cases IS NULL OR row.id = ANY (in_cases))
        UNION ALL
        SELECT 'document' AS kind, row.id, row.title AS label, row.case_id AS case_id,
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
        SELECT 'client' AS kind, row.id, row.name AS label, NULL::uuid AS case_id,
               (0.5 * public.word_similarity(words, row.search_words)
                + 0.5 * public.similarity(words, row.search_words))::double precision AS score
        FROM public.clients AS row
        WHERE 'client' = ANY (of_kinds) AND row.firm_id = firm AND row.search_words OPERATOR(public.%>) words
          AND (in_cases IS NULL OR NULL::uuid = ANY (in_cases))
        UNION ALL
        SELECT 'party' AS kind, row.id, row.name AS label, row.case_id AS case_id,
               (0.5 * public.word_similarity(words, row.search_words)
                + 0.5 * public.similarity(words, row.search_words))::double precision AS score
        FROM public.case_actors AS row
        WHERE 'party' = ANY (of_kinds) AND row.firm_id = firm AND row.search_words OPERATOR(public.%>) words
          AND (in_cases IS NULL OR row.case_id = ANY (in_cases))
        ) AS found ORDER BY found.score DESC, found.id LIMIT at_most;
    END IF;
END
$function$;
CREATE OR REPLACE FUNCTION search_contents(query tsquery, at_most integer)
 RETURNS TABLE(id uuid, title text, case_id uuid, score double precision, content text)
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
#variable_conflict use_column
DECLARE
    firm uuid := public.current_firm_id();
BEGIN
    RETURN QUERY SELECT row.id, row.title, row.case_id, found.score, row.content FROM (
        SELECT row.id, ts_rank(row.search_text, query, 1)::double precision AS score
        FROM public.documents AS row
        WHERE row.firm_id = firm AND row.search_text @@ query
        ORDER BY score DESC, row.id LIMIT at_most
    ) AS found JOIN public.documents AS row ON row.id = found.id AND row.firm_id = firm
    ORDER BY found.score DESC, row.id;
END
$function$;
CREATE OR REPLACE FUNCTION search_contents(query tsquery, at_most integer, in_cases uuid[], of_types text[], of_statuses text[], created_from timestamp with time zone, created_before timestamp with time zone)
 RETURNS TABLE(id uuid, title text, case_id uuid, score double precision, content text)
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
 SET plan_cache_mode TO 'force_custom_plan'
AS $function$
#variable_conflict use_column
DECLARE
    firm uuid := public.current_firm_id();
BEGIN
    RETURN QUERY SELECT row.id, row.title, row.case_id, found.score, row.content FROM (
        SELECT row.id, ts_rank(row.search_text, query, 1)::double precision AS score
        FROM public.documents AS row
        WHERE row.firm_id = firm AND row.search_text @@ query
          AND (in_cases IS NULL OR row.case_id = ANY (in_cases))
          AND (of_types IS NULL OR row.document_type = ANY (of_types))
          AND (of_statuses IS NULL OR row.status = ANY (of_statuses))
          AND (created_from IS NULL OR row.created_at >= created_from)
          AND (created_before IS NULL OR row.created_at < created_before)
        ORDER BY score DESC, row.id LIMIT at_most
    ) AS found JOIN public.documents AS row ON row.id = found.id AND row.firm_id = firm
    ORDER BY found.score DESC, row.id;
END
$function$;
CREATE OR REPLACE FUNCTION search_any_word(queries tsquery[], at_most integer)
 RETURNS TABLE(id uuid, score double precision)
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
#variable_conflict use_column
DECLARE
    firm uuid := public.current_firm_id();
BEGIN
    RETURN QUERY WITH found AS MATERIALIZED (
        SELECT asked.place, row.id
        FROM unnest(queries) WITH ORDINALITY AS asked (query, place)
        JOIN public.documents AS row ON row.search_text @@ asked.query
        WHERE row.firm_id = firm
    ), rarity AS (
        SELECT found.place, ln(1 + (SELECT count(DISTINCT found.id) FROM found)::double precision / count(*)) AS weight
        FROM found GROUP BY found.place
    )
    -- added in one order: documents with the same words have the same score, to the last bit
    SELECT found.id, sum(rarity.weight ORDER BY rarity.place) AS score
    FROM found JOIN rarity USING (place)
    GROUP BY found.id ORDER BY score DESC, found.id LIMIT at_most;
END
$function$;
CREATE OR REPLACE FUNCTION search_any_word(queries tsquery[], at_most integer, in_cases uuid[], of_types text[], of_statuses text[], created_from timestamp with time zone, created_before timestamp with time zone)
 RETURNS TABLE(id uuid, score double precision)
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
 SET plan_cache_mode TO 'force_custom_plan'
AS $function$
#variable_conflict use_column
DECLARE
    firm uuid := public.current_firm_id();
BEGIN
    RETURN QUERY WITH found AS MATERIALIZED (
        SELECT asked.place, row.id
        FROM unnest(queries) WITH ORDINALITY AS asked (query, place)
        JOIN public.documents AS row ON row.search_text @@ asked.query
        WHERE row.firm_id = firm
          AND (in_cases IS NULL OR row.case_id = ANY (in_cases))
          AND (of_types IS NULL OR row.document_type = ANY (of_types))
          AND (of_statuses IS NULL OR row.status = ANY (of_statuses))
          AND (created_from IS NULL OR row.created_at >= created_from)
          AND (created_before IS NULL OR row.created_at < created_before)
    ), rarity AS (
        SELECT found.place, ln(1 + (SELECT count(DISTINCT found.id) FROM found)::double precision / count(*)) AS weight
        FROM found GROUP BY found.place
    )
    -- added in one order: documents with the same words have the same score, to the last bit
    SELECT found.id, sum(rarity.weight ORDER BY rarity.place) AS score
    FROM found JOIN rarity USING (place)
    GROUP BY found.id ORDER BY score DESC, found.id LIMIT at_most;
END
$function$;
CREATE OR REPLACE FUNCTION search_nearest(asked vector, metric text, at_most integer, walk_for integer, compare_up_to bigint, index_of text)
 RETURNS TABLE(id uuid, title text, case_id uuid, distance double precision)
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
 SET enable_sort TO 'off'
AS $function$
#variable_conflict use_column
DECLARE
    firm uuid := public.current_firm_id();
BEGIN
    IF index_of IS NOT NULL AND compare_up_to < (SELECT count(*) FROM (
        SELECT FROM public.documents AS row WHERE row.firm_id = firm AND row.content_embedding IS NOT NULL LIMIT compare_up_to + 1) AS counted)
    THEN
        IF index_of = 'halfvec' THEN
            RETURN QUERY WITH walked AS MATERIALIZED (
                SELECT found.* FROM (
                    SELECT row.id, row.title, row.case_id, row.content_embedding OPERATOR(public.<=>) asked AS distance
                    FROM public.documents AS row WHERE row.firm_id = firm AND row.content_embedding IS NOT NULL
                    ORDER BY row.content_embedding::halfvec(1536) OPERATOR(public.<=>) asked::halfvec(1536) LIMIT walk_for
                ) AS found ORDER BY found.distance, found.id LIMIT at_most
            ) SELECT walked.* FROM walked WHERE at_most <= (SELECT count(*) FROM walked);
        ELSE
            RETURN QUERY WITH walked AS MATERIALIZED (
                SELECT found.* FROM (
                    SELECT row.id, row.title, row.case_id, row.content_embedding OPERATOR(public.<=>) asked AS distance
                    FROM public.documents AS row WHERE row.firm_id = firm AND row.content_embedding IS NOT NULL
                    ORDER BY row.content_embedding OPERATOR(public.<=>) asked LIMIT walk_for
                ) AS found ORDER BY found.distance, found.id LIMIT at_most
            ) SELECT walked.* FROM walked WHERE at_most <= (SELECT count(*) FROM walked);
        END IF;
    END IF;
    IF NOT FOUND THEN
        -- there are few, or the walk brought too few: all are compared
        RETURN QUERY SELECT found.* FROM (
            SELECT row.id, row.title, row.case_id, CASE metric
                WHEN 'cosine' THEN row.content_embedding OPERATOR(public.<=>) asked
                WHEN 'l2' THEN row.content_embedding OPERATOR(public.<->) asked
                WHEN 'inner_product' THEN row.content_embedding OPERATOR(public.<#>) asked
            END AS distance
            FROM public.documents AS row WHERE row.firm_id = firm AND row.content_embedding IS NOT NULL
            ORDER BY distance, row.id LIMIT at_most
        ) AS found WHERE found.distance <> 'NaN';
    END IF;
END
$function$;
CREATE OR REPLACE FUNCTION search_nearest(asked vector, metric text, at_most integer, walk_for integer, compare_up_to bigint, index_of text, in_cases uuid[], of_types text[], of_statuses text[], created_from timestamp with time zone, created_before timestamp with time zone)
 RETURNS TABLE(id uuid, title text, case_id uuid, distance double precision)
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET enable_seqscan TO 'off'
 SET jit TO 'off'
 SET plan_cache_mode TO 'force_custom_plan'
 SET enable_sort TO 'off'
AS $function$
#variable_conflict use_column
DECLARE
    firm uuid := public.current_firm_id();
BEGIN
    IF index_of IS NOT NULL AND compare_up_to < (SELECT count(*) FROM (
        SELECT FROM public.documents AS row WHERE row.firm_id = firm AND row.content_embedding IS NOT NULL
          AND (in_cases IS NULL OR row.case_id = ANY (in_cases))
          AND (of_types IS NULL OR row.document_type = ANY (of_types))
          AND (of_statuses IS NULL OR row.status = ANY (of_statuses))
          AND (created_from IS NULL OR row.created_at >= created_from)
          AND (created_before IS NULL OR row.created_at < created_before) LIMIT compare_up_to + 1) AS counted)
    THEN
        IF index_of = 'halfvec' THEN
            RETURN QUERY WITH walked AS MATERIALIZED (
                SELECT found.* FROM (
                    SELECT row.id, row.title, row.case_id, row.content_embedding OPERATOR(public.<=>) asked AS distance
                    FROM public.documents AS row WHERE row.firm_id = firm AND row.content_embedding IS NOT NULL
          AND (in_cases IS NULL OR row.case_id = ANY (in_cases))
          AND (of_types IS NULL OR row.document_type = ANY (of_types))
          AND (of_statuses IS NULL OR row.status = ANY (of_statuses))
          AND (created_from IS NULL OR row.created_at >= created_from)
          AND (created_before IS NULL OR row.created_at < created_before)
                    ORDER BY row.content_embedding::halfvec(1536) OPERATOR(public.<=>) asked::halfvec(1536) LIMIT walk_for
                ) AS found ORDER BY found.distance, found.id LIMIT at_most
            ) SELECT walked.* FROM walked WHERE at_most <= (SELECT count(*) FROM walked);
        ELSE
            RETURN QUERY WITH walked AS MATERIALIZED (
                SELECT found.* FROM (
                    SELECT row.id, row.title, row.case_id, row.content_embedding OPERATOR(public.<=>) asked AS distance
                    FROM public.documents AS row WHERE row.firm_id = firm AND row.content_embedding IS NOT NULL
          AND (in_cases IS NULL OR row.case_id = ANY (in_cases))
          AND (of_types IS NULL OR row.document_type = ANY (of_types))
          AND (of_statuses IS NULL OR row.status = ANY (of_statuses))
          AND (created_from IS NULL OR row.created_at >= created_from)
          AND (created_before IS NULL OR row.created_at < created_before)
                    ORDER BY row.content_embedding OPERATOR(public.<=>) asked LIMIT walk_for
                ) AS found ORDER BY found.distance, found.id LIMIT at_most
            ) SELECT walked.* FROM walked WHERE at_most <= (SELECT count(*) FROM walked);
        END IF;
    END IF;
    IF NOT FOUND THEN
        -- there are few, or the walk brought too few: all are compared
        RETURN QUERY SELECT found.* FROM (
            SELECT row.id, row.title, row.case_id, CASE metric
                WHEN 'cosine' THEN row.content_embedding OPERATOR(public.<=>) asked
                WHEN 'l2' THEN row.content_embedding OPERATOR(public.<->) asked
                WHEN 'inner_product' THEN row.content_embedding OPERATOR(public.<#>) asked
            END AS distance
            FROM public.documents AS row WHERE row.firm_id = firm AND row.content_embedding IS NOT NULL
          AND (in_cases IS NULL OR row.case_id = ANY (in_cases))
          AND (of_types IS NULL OR row.document_type = ANY (of_types))
          AND (of_statuses IS NULL OR row.status = ANY (of_statuses))
          AND (created_from IS NULL OR row.created_at >= created_from)
          AND (created_before IS NULL OR row.created_at < created_before)
            ORDER BY distance, row.id LIMIT at_most
        ) AS found WHERE found.distance <> 'NaN';
    END IF;
END
$function$;
REVOKE EXECUTE ON FUNCTION search_any_word(queries tsquery[], at_most integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION search_any_word(queries tsquery[], at_most integer) TO "legal_store_service";
REVOKE EXECUTE ON FUNCTION search_any_word(queries tsquery[], at_most integer, in_cases uuid[], of_types text[], of_statuses text[], created_from timestamp with time zone, created_before timestamp with time zone) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION search_any_word(queries tsquery[], at_most integer, in_cases uuid[], of_types text[], of_statuses text[], created_from timestamp with time zone, created_before timestamp with time zone) TO "legal_store_service";
REVOKE EXECUTE ON FUNCTION search_contents(query tsquery, at_most integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION search_contents(query tsquery, at_most integer) TO "legal_store_service";
REVOKE EXECUTE ON FUNCTION search_contents(query tsquery, at_most integer, in_cases uuid[], of_types text[], of_statuses text[], created_from timestamp with time zone, created_before timestamp with time zone) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION search_contents(query tsquery, at_most integer, in_cases uuid[], of_types text[], of_statuses text[], created_from timestamp with time zone, created_before timestamp with time zone) TO "legal_store_service";
REVOKE EXECUTE ON FUNCTION search_names(query text, of_kinds text[], at_most integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION search_names(query text, of_kinds text[], at_most integer) TO "legal_store_service";
REVOKE EXECUTE ON FUNCTION search_names(query text, of_kinds text[], at_most integer, in_cases uuid[], of_types text[], of_statuses text[], created_from timestamp with time zone, created_before timestamp with time zone) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION search_names(query text, of_kinds text[], at_most integer, in_cases uuid[], of_types text[], of_statuses text[], created_from timestamp with time zone, created_before timestamp with time zone) TO "legal_store_service";
REVOKE EXECUTE ON FUNCTION search_nearest(asked vector, metric text, at_most integer, walk_for integer, compare_up_to bigint, index_of text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION search_nearest(asked vector, metric text, at_most integer, walk_for integer, compare_up_to bigint, index_of text) TO "legal_store_service";
REVOKE EXECUTE ON FUNCTION search_nearest(asked vector, metric text, at_most integer, walk_for integer, compare_up_to bigint, index_of text, in_cases uuid[], of_types text[], of_statuses text[], created_from timestamp with time zone, created_before timestamp with time zone) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION search_nearest(asked vector, metric text, at_most integer, walk_for integer, compare_up_to bigint, index_of text, in_cases uuid[], of_types text[], of_statuses text[], created_from timestamp with time zone, created_before timestamp with time zone) TO "legal_store_service";
DROP FUNCTION search_any_word(queries tsquery[], in_cases uuid[], of_types text[], of_statuses text[], created_from timestamp with time zone, created_before timestamp with time zone, at_most integer);
DROP FUNCTION search_contents(query tsquery, in_cases uuid[], of_types text[], of_statuses text[], created_from timestamp with time zone, created_before timestamp with time zone, at_most integer);
DROP FUNCTION search_names(query text, of_kinds text[], in_cases uuid[], of_types text[], of_statuses text[], created_from timestamp with time zone, created_before timestamp with time zone, at_most integer);
"""
    )


def rollback(migrator, database, *, fake=False):
    migrator.sql(
        r"""
CREATE OR REPLACE FUNCTION search_contents(query tsquery, in_cases uuid[], of_types text[], of_statuses text[], created_from timestamp with time zone, created_before timestamp with time zone, at_most integer)
 RETURNS TABLE(id uuid, score double precision)
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET plan_cache_mode TO 'force_custom_plan'
AS $function$
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
CREATE OR REPLACE FUNCTION search_names(query text, of_kinds text[], in_cases uuid[], of_types text[], of_statuses text[], created_from timestamp with time zone, created_before timestamp with time zone, at_most integer)
 RETURNS TABLE(kind text, id uuid, case_id uuid, label text, score double precision)
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET plan_cache_mode TO 'force_custom_plan'
AS $function$
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
CREATE OR REPLACE FUNCTION search_any_word(queries tsquery[], in_cases uuid[], of_types text[], of_statuses text[], created_from timestamp with time zone, created_before timestamp with time zone, at_most integer)
 RETURNS TABLE(id uuid, score double precision)
 LANGUAGE plpgsql
 STABLE PARALLEL SAFE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'public', 'pg_temp'
 SET plan_cache_mode TO 'force_custom_plan'
AS $function$
#variable_conflict use_column
DECLARE
    firm uuid := public.current_firm_id();
BEGIN
    RETURN QUERY WITH found AS MATERIALIZED (
        SELECT asked.place, row.id
        FROM unnest(queries) WITH ORDINALITY AS asked (query, place)
        JOIN public.documents AS row ON row.search_text @@ asked.query
        WHERE row.firm_id = firm
          AND (in_cases IS NULL OR row.case_id = ANY (in_cases))
          AND (of_types IS NULL OR row.document_type = ANY (of_types))
          AND (of_statuses IS NULL OR row.status = ANY (of_statuses))
          AND (created_from IS NULL OR row.created_at >= created_from)
          AND (created_before IS NULL OR row.created_at < created_before)
    ), rarity AS (
        SELECT found.place, ln(1 + (SELECT count(DISTINCT found.id) FROM found)::double precision / count(*)) AS weight
        FROM found GROUP BY found.place
    )
    -- added in one order: documents with the same words have the same score, to the last bit
    SELECT found.id, sum(rarity.weight ORDER BY rarity.place) AS score
    FROM found JOIN rarity USING (place)
    GROUP BY found.id ORDER BY score DESC, found.id LIMIT at_most;
END
$function$;
REVOKE EXECUTE ON FUNCTION search_any_word(queries tsquery[], in_cases uuid[], of_types text[], of_statuses text[], created_from timestamp with time zone, created_before timestamp with time zone, at_most integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION search_any_word(queries tsquery[], in_cases uuid[], of_types text[], of_statuses text[], created_from timestamp with time zone, created_before timestamp with time zone, at_most integer) TO "legal_store_service";
REVOKE EXECUTE ON FUNCTION search_contents(query tsquery, in_cases uuid[], of_types text[], of_statuses text[], created_from timestamp with time zone, created_before timestamp with time zone, at_most integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION search_contents(query tsquery, in_cases uuid[], of_types text[], of_statuses text[], created_from timestamp with time zone, created_before timestamp with time zone, at_most integer) TO "legal_store_service";
REVOKE EXECUTE ON FUNCTION search_names(query text, of_kinds text[], in_cases uuid[], of_types text[], of_statuses text[], created_from timestamp with time zone, created_before timestamp with time zone, at_most integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION search_names(query text, of_kinds text[], in_cases uuid[], of_types text[], of_statuses text[], created_from timestamp with time zone, created_before timestamp with time zone, at_most integer) TO "legal_store_service";
DROP FUNCTION search_any_word(queries tsquery[], at_most integer);
DROP FUNCTION search_any_word(queries tsquery[], at_most integer, in_cases uuid[], of_types text[], of_statuses text[], created_from timestamp with time zone, created_before timestamp with time zone);
DROP FUNCTION search_contents(query tsquery, at_most integer);
DROP FUNCTION search_contents(query tsquery, at_most integer, in_cases uuid[], of_types text[], of_statuses text[], created_from timestamp with time zone, created_before timestamp with time zone);
DROP FUNCTION search_names(query text, of_kinds text[], at_most integer);
DROP FUNCTION search_names(query text, of_kinds text[], at_most integer, in_cases uuid[], of_types text[], of_statuses text[], created_from timestamp with time zone, created_before timestamp with time zone);
DROP FUNCTION search_nearest(asked vector, metric text, at_most integer, walk_for integer, compare_up_to bigint, index_of text);
DROP FUNCTION search_nearest(asked vector, metric text, at_most integer, walk_for integer, compare_up_to bigint, index_of text, in_cases uuid[], of_types text[], of_statuses text[], created_from timestamp with time zone, created_before timestamp with time zone);
"""
    )
