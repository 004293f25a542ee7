"""Add search any word."""

def migrate(migrator, database, *, fake=False):
    migrator.sql(
        r"""
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
"""
    )


def rollback(migrator, database, *, fake=False):
    migrator.sql(
        r"""
DROP FUNCTION search_any_word(queries tsquery[], in_cases uuid[], of_types text[], of_statuses text[], created_from timestamp with time zone, created_before timestamp with time zone, at_most integer);
"""
    )
