"""Firms cannot see each other: row-level security on their tables, and a role for services that owns nothing.

The role stays when this is rolled back: it belongs to the server, and other databases may use it.
"""


def migrate(migrator, database, *, fake=False):
    migrator.sql(
        r"""
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'legal_store_service') THEN
        BEGIN
            CREATE ROLE "legal_store_service" NOLOGIN NOSUPERUSER NOBYPASSRLS;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END IF;
    IF NOT pg_has_role(current_user, 'legal_store_service', 'SET') THEN
        GRANT "legal_store_service" TO CURRENT_USER WITH INHERIT FALSE, SET TRUE;
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE EXCEPTION 'the login % may not make the role legal_store_service, or take it', current_user
        USING ERRCODE = 'insufficient_privilege',
              HINT = 'Have an administrator run: CREATE ROLE legal_store_service NOLOGIN; GRANT legal_store_service TO '
                     || quote_ident(current_user) || ' WITH INHERIT FALSE, SET TRUE;';
END
$$;

CREATE OR REPLACE FUNCTION current_firm_id() RETURNS uuid
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $function$
DECLARE
    firm_id text := current_setting('legal_store.firm_id', true);
BEGIN
    IF coalesce(firm_id, '') = '' THEN
        RAISE EXCEPTION 'no firm is named for this statement'
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Use `with legal_store.firm(firm_id): ...` and the connection of legal_store.';
    END IF;
    RETURN firm_id::uuid;
END
$function$;

ALTER TABLE "firms" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "firm_isolation" ON "firms" USING (id = (SELECT current_firm_id())) WITH CHECK (id = (SELECT current_firm_id()));
ALTER TABLE "users" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "firm_isolation" ON "users" USING (firm_id = (SELECT current_firm_id())) WITH CHECK (firm_id = (SELECT current_firm_id()));
ALTER TABLE "clients" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "firm_isolation" ON "clients" USING (firm_id = (SELECT current_firm_id())) WITH CHECK (firm_id = (SELECT current_firm_id()));
ALTER TABLE "cases" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "firm_isolation" ON "cases" USING (firm_id = (SELECT current_firm_id())) WITH CHECK (firm_id = (SELECT current_firm_id()));
ALTER TABLE "case_team" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "firm_isolation" ON "case_team" USING (firm_id = (SELECT current_firm_id())) WITH CHECK (firm_id = (SELECT current_firm_id()));
ALTER TABLE "case_actors" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "firm_isolation" ON "case_actors" USING (firm_id = (SELECT current_firm_id())) WITH CHECK (firm_id = (SELECT current_firm_id()));
ALTER TABLE "documents" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "firm_isolation" ON "documents" USING (firm_id = (SELECT current_firm_id())) WITH CHECK (firm_id = (SELECT current_firm_id()));
ALTER TABLE "tasks" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "firm_isolation" ON "tasks" USING (firm_id = (SELECT current_firm_id())) WITH CHECK (firm_id = (SELECT current_firm_id()));
ALTER TABLE "user_audit_logs" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "firm_isolation" ON "user_audit_logs" USING (firm_id = (SELECT current_firm_id())) WITH CHECK (firm_id = (SELECT current_firm_id()));
ALTER TABLE "case_audit_logs" ENABLE ROW LEVEL SECURITY;
CREATE POLICY "firm_isolation" ON "case_audit_logs" USING (firm_id = (SELECT current_firm_id())) WITH CHECK (firm_id = (SELECT current_firm_id()));

GRANT SELECT, INSERT, UPDATE, DELETE ON "skills" TO "legal_store_service";
GRANT SELECT, INSERT, UPDATE, DELETE ON "skill_versions" TO "legal_store_service";
GRANT SELECT, INSERT, UPDATE, DELETE ON "skill_usage_logs" TO "legal_store_service";
GRANT SELECT, INSERT, UPDATE, DELETE ON "document_type_registry" TO "legal_store_service";
GRANT SELECT, INSERT, UPDATE, DELETE ON "document_type_instances" TO "legal_store_service";
GRANT SELECT, INSERT, UPDATE, DELETE ON "romanian_templates" TO "legal_store_service";
GRANT SELECT, INSERT, UPDATE, DELETE ON "document_patterns" TO "legal_store_service";
GRANT SELECT, INSERT, UPDATE, DELETE ON "template_usage_logs" TO "legal_store_service";
GRANT SELECT, UPDATE ON "firms" TO "legal_store_service";
GRANT SELECT, INSERT, UPDATE, DELETE ON "users" TO "legal_store_service";
GRANT SELECT, INSERT, UPDATE, DELETE ON "clients" TO "legal_store_service";
GRANT SELECT, INSERT, UPDATE, DELETE ON "cases" TO "legal_store_service";
GRANT SELECT, INSERT, UPDATE, DELETE ON "case_team" TO "legal_store_service";
GRANT SELECT, INSERT, UPDATE, DELETE ON "case_actors" TO "legal_store_service";
GRANT SELECT, INSERT, UPDATE, DELETE ON "documents" TO "legal_store_service";
GRANT SELECT, INSERT, UPDATE, DELETE ON "tasks" TO "legal_store_service";
GRANT SELECT, INSERT ON "user_audit_logs" TO "legal_store_service";
GRANT SELECT, INSERT ON "case_audit_logs" TO "legal_store_service";
GRANT SELECT ON "weekly_discovery_metrics" TO "legal_store_service";
GRANT SELECT ON "template_effectiveness_report" TO "legal_store_service";
GRANT SELECT ON "template_candidates" TO "legal_store_service";
"""
    )


def rollback(migrator, database, *, fake=False):
    migrator.sql(
        r"""
REVOKE SELECT, INSERT, UPDATE, DELETE ON "skills" FROM "legal_store_service";
REVOKE SELECT, INSERT, UPDATE, DELETE ON "skill_versions" FROM "legal_store_service";
REVOKE SELECT, INSERT, UPDATE, DELETE ON "skill_usage_logs" FROM "legal_store_service";
REVOKE SELECT, INSERT, UPDATE, DELETE ON "document_type_registry" FROM "legal_store_service";
REVOKE SELECT, INSERT, UPDATE, DELETE ON "document_type_instances" FROM "legal_store_service";
REVOKE SELECT, INSERT, UPDATE, DELETE ON "romanian_templates" FROM "legal_store_service";
REVOKE SELECT, INSERT, UPDATE, DELETE ON "document_patterns" FROM "legal_store_service";
REVOKE SELECT, INSERT, UPDATE, DELETE ON "template_usage_logs" FROM "legal_store_service";
REVOKE SELECT, UPDATE ON "firms" FROM "legal_store_service";
REVOKE SELECT, INSERT, UPDATE, DELETE ON "users" FROM "legal_store_service";
REVOKE SELECT, INSERT, UPDATE, DELETE ON "clients" FROM "legal_store_service";
REVOKE SELECT, INSERT, UPDATE, DELETE ON "cases" FROM "legal_store_service";
REVOKE SELECT, INSERT, UPDATE, DELETE ON "case_team" FROM "legal_store_service";
REVOKE SELECT, INSERT, UPDATE, DELETE ON "case_actors" FROM "legal_store_service";
REVOKE SELECT, INSERT, UPDATE, DELETE ON "documents" FROM "legal_store_service";
REVOKE SELECT, INSERT, UPDATE, DELETE ON "tasks" FROM "legal_store_service";
REVOKE SELECT, INSERT ON "user_audit_logs" FROM "legal_store_service";
REVOKE SELECT, INSERT ON "case_audit_logs" FROM "legal_store_service";
REVOKE SELECT ON "weekly_discovery_metrics" FROM "legal_store_service";
REVOKE SELECT ON "template_effectiveness_report" FROM "legal_store_service";
REVOKE SELECT ON "template_candidates" FROM "legal_store_service";

DROP POLICY "firm_isolation" ON "firms";
ALTER TABLE "firms" DISABLE ROW LEVEL SECURITY;
DROP POLICY "firm_isolation" ON "users";
ALTER TABLE "users" DISABLE ROW LEVEL SECURITY;
DROP POLICY "firm_isolation" ON "clients";
ALTER TABLE "clients" DISABLE ROW LEVEL SECURITY;
DROP POLICY "firm_isolation" ON "cases";
ALTER TABLE "cases" DISABLE ROW LEVEL SECURITY;
DROP POLICY "firm_isolation" ON "case_team";
ALTER TABLE "case_team" DISABLE ROW LEVEL SECURITY;
DROP POLICY "firm_isolation" ON "case_actors";
ALTER TABLE "case_actors" DISABLE ROW LEVEL SECURITY;
DROP POLICY "firm_isolation" ON "documents";
ALTER TABLE "documents" DISABLE ROW LEVEL SECURITY;
DROP POLICY "firm_isolation" ON "tasks";
ALTER TABLE "tasks" DISABLE ROW LEVEL SECURITY;
DROP POLICY "firm_isolation" ON "user_audit_logs";
ALTER TABLE "user_audit_logs" DISABLE ROW LEVEL SECURITY;
DROP POLICY "firm_isolation" ON "case_audit_logs";
ALTER TABLE "case_audit_logs" DISABLE ROW LEVEL SECURITY;

DROP FUNCTION current_firm_id();
"""
    )
