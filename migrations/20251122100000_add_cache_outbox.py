"""The outbox of cache events, and the triggers that fill it."""


def migrate(migrator, database, *, fake=False):
    migrator.sql(
        r"""
CREATE OR REPLACE FUNCTION record_cache_events() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $function$
DECLARE
    verb text := CASE TG_OP WHEN 'INSERT' THEN 'created' WHEN 'UPDATE' THEN 'updated' ELSE 'deleted' END;
    tables text[] := CASE TG_OP WHEN 'INSERT' THEN ARRAY['after'] WHEN 'UPDATE' THEN ARRAY['before', 'after']
                     ELSE ARRAY['before'] END;
    keys text := '';
    touched text;
BEGIN
    FOR i IN 2 .. TG_NARGS - 1 LOOP
        keys := keys || CASE WHEN i > 2 THEN ', ' ELSE '' END || format('%L, %I', TG_ARGV[i], TG_ARGV[i]);
    END LOOP;
    SELECT string_agg(format('SELECT %I AS firm_id, jsonb_build_object(%s) AS keys FROM %I',
                             TG_ARGV[1], keys, name), ' UNION ')
    INTO touched FROM unnest(tables) name;
    EXECUTE format($query$
        WITH touched AS (SELECT DISTINCT firm_id, keys FROM (%s) changed),
        firms AS (SELECT firm_id, count(*) > 100 AS many FROM touched GROUP BY firm_id)
        INSERT INTO cache_outbox (firm_id, event, keys)
        SELECT firm_id, %2$L, touched.keys FROM touched JOIN firms USING (firm_id) WHERE NOT many
        UNION ALL
        SELECT firm_id, %2$L, '{}' FROM firms WHERE many
    $query$, touched, TG_ARGV[0] || '.' || verb);
    RETURN NULL;
END
$function$;
REVOKE EXECUTE ON FUNCTION record_cache_events() FROM PUBLIC;

CREATE OR REPLACE FUNCTION record_role_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $function$
BEGIN
    INSERT INTO cache_outbox (firm_id, event, keys)
    VALUES (NEW.firm_id, 'user.role_changed', jsonb_build_object('id', NEW.id));
    RETURN NULL;
END
$function$;
REVOKE EXECUTE ON FUNCTION record_role_change() FROM PUBLIC;

CREATE TABLE "cache_outbox" (
    "id" UUID NOT NULL DEFAULT uuid_generate_v4(),
    "firm_id" UUID NOT NULL,
    "event" TEXT NOT NULL,
    "keys" JSONB NOT NULL DEFAULT '{}',
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT "cache_outbox_pkey" PRIMARY KEY (id)
);

CREATE TRIGGER "firms_cache_update" AFTER UPDATE ON "firms"
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT
    EXECUTE FUNCTION record_cache_events('firm', 'id', 'id');

CREATE TRIGGER "firms_cache_delete" AFTER DELETE ON "firms"
    REFERENCING OLD TABLE AS before
    FOR EACH STATEMENT
    EXECUTE FUNCTION record_cache_events('firm', 'id', 'id');

CREATE TRIGGER "users_cache_delete" AFTER DELETE ON "users"
    REFERENCING OLD TABLE AS before
    FOR EACH STATEMENT
    EXECUTE FUNCTION record_cache_events('user', 'firm_id', 'id');

CREATE TRIGGER "users_cache_role" AFTER UPDATE ON "users"
    FOR EACH ROW
    WHEN (OLD.role IS DISTINCT FROM NEW.role OR OLD.status IS DISTINCT FROM NEW.status OR OLD.can_approve_documents IS DISTINCT FROM NEW.can_approve_documents OR OLD.can_manage_cases IS DISTINCT FROM NEW.can_manage_cases)
    EXECUTE FUNCTION record_role_change();

CREATE TRIGGER "cases_cache_update" AFTER UPDATE ON "cases"
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT
    EXECUTE FUNCTION record_cache_events('case', 'firm_id', 'id');

CREATE TRIGGER "cases_cache_delete" AFTER DELETE ON "cases"
    REFERENCING OLD TABLE AS before
    FOR EACH STATEMENT
    EXECUTE FUNCTION record_cache_events('case', 'firm_id', 'id');

CREATE TRIGGER "documents_cache_insert" AFTER INSERT ON "documents"
    REFERENCING NEW TABLE AS after
    FOR EACH STATEMENT
    EXECUTE FUNCTION record_cache_events('document', 'firm_id', 'case_id');

CREATE TRIGGER "documents_cache_delete" AFTER DELETE ON "documents"
    REFERENCING OLD TABLE AS before
    FOR EACH STATEMENT
    EXECUTE FUNCTION record_cache_events('document', 'firm_id', 'case_id');

CREATE TRIGGER "documents_cache_update" AFTER UPDATE ON "documents"
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT
    EXECUTE FUNCTION record_cache_events('document', 'firm_id', 'id', 'case_id');
"""
    )


def rollback(migrator, database, *, fake=False):
    migrator.sql(
        r"""
DROP TRIGGER "firms_cache_update" ON "firms";
DROP TRIGGER "firms_cache_delete" ON "firms";
DROP TRIGGER "users_cache_delete" ON "users";
DROP TRIGGER "users_cache_role" ON "users";
DROP TRIGGER "cases_cache_update" ON "cases";
DROP TRIGGER "cases_cache_delete" ON "cases";
DROP TRIGGER "documents_cache_insert" ON "documents";
DROP TRIGGER "documents_cache_delete" ON "documents";
DROP TRIGGER "documents_cache_update" ON "documents";
DROP TABLE "cache_outbox";
DROP FUNCTION record_role_change();
DROP FUNCTION record_cache_events();
"""
    )
