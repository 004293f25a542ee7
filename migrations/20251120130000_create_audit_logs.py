"""Append-only logs of what was changed about users and cases."""


def migrate(migrator, database, *, fake=False):
    migrator.sql(
        r"""
CREATE OR REPLACE FUNCTION refuse_change_of_append_only_table() RETURNS trigger
LANGUAGE plpgsql AS $function$
BEGIN
    IF pg_trigger_depth() > 1 THEN
        RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    RAISE EXCEPTION '% is append only: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation',
              HINT = 'Write a new row that states the correction.';
END
$function$;

CREATE TABLE "user_audit_logs" (
    "id" UUID NOT NULL DEFAULT uuid_generate_v4(),
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "updated_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "firm_id" UUID NOT NULL,
    "user_id" UUID,
    "admin_user_id" UUID,
    "action" TEXT NOT NULL,
    "old_value" TEXT,
    "new_value" TEXT,
    "timestamp" TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT "user_audit_logs_pkey" PRIMARY KEY (id, firm_id),
    CONSTRAINT "user_audit_logs_action_check" CHECK (action IN ('Activated', 'Deactivated', 'RoleChanged'))
);
ALTER TABLE "user_audit_logs" ADD CONSTRAINT "user_audit_logs_firm_id_fkey" FOREIGN KEY ("firm_id") REFERENCES "firms" ("id");
ALTER TABLE "user_audit_logs" ADD CONSTRAINT "user_audit_logs_user_id_fkey" FOREIGN KEY ("user_id", "firm_id") REFERENCES "users" ("id", "firm_id") ON DELETE SET NULL ("user_id");
ALTER TABLE "user_audit_logs" ADD CONSTRAINT "user_audit_logs_admin_user_id_fkey" FOREIGN KEY ("admin_user_id", "firm_id") REFERENCES "users" ("id", "firm_id") ON DELETE SET NULL ("admin_user_id");
CREATE INDEX "user_audit_logs_firm_id_user_idx" ON "user_audit_logs" USING btree (firm_id, user_id, timestamp DESC);
CREATE INDEX "user_audit_logs_firm_id_admin_idx" ON "user_audit_logs" USING btree (firm_id, admin_user_id);
CREATE INDEX "user_audit_logs_firm_id_timestamp_idx" ON "user_audit_logs" USING btree (firm_id, timestamp DESC);
CREATE TRIGGER "update_user_audit_logs_updated_at" BEFORE UPDATE ON "user_audit_logs"
    FOR EACH ROW
    EXECUTE FUNCTION update_updated_at_column();
CREATE TRIGGER "user_audit_logs_append_only" BEFORE UPDATE OR DELETE ON "user_audit_logs"
    FOR EACH ROW
    EXECUTE FUNCTION refuse_change_of_append_only_table();
CREATE TRIGGER "user_audit_logs_no_truncate" BEFORE TRUNCATE ON "user_audit_logs"
    FOR EACH STATEMENT
    EXECUTE FUNCTION refuse_change_of_append_only_table();

CREATE TABLE "case_audit_logs" (
    "id" UUID NOT NULL DEFAULT uuid_generate_v4(),
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "updated_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "firm_id" UUID NOT NULL,
    "case_id" UUID NOT NULL,
    "user_id" UUID,
    "action" TEXT NOT NULL,
    "field_name" TEXT,
    "old_value" TEXT,
    "new_value" TEXT,
    "timestamp" TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT "case_audit_logs_pkey" PRIMARY KEY (id, firm_id)
);
ALTER TABLE "case_audit_logs" ADD CONSTRAINT "case_audit_logs_firm_id_fkey" FOREIGN KEY ("firm_id") REFERENCES "firms" ("id");
ALTER TABLE "case_audit_logs" ADD CONSTRAINT "case_audit_logs_case_id_fkey" FOREIGN KEY ("case_id", "firm_id") REFERENCES "cases" ("id", "firm_id") ON DELETE CASCADE;
ALTER TABLE "case_audit_logs" ADD CONSTRAINT "case_audit_logs_user_id_fkey" FOREIGN KEY ("user_id", "firm_id") REFERENCES "users" ("id", "firm_id") ON DELETE SET NULL ("user_id");
CREATE INDEX "case_audit_logs_firm_id_case_idx" ON "case_audit_logs" USING btree (firm_id, case_id, timestamp DESC);
CREATE INDEX "case_audit_logs_firm_id_user_idx" ON "case_audit_logs" USING btree (firm_id, user_id);
CREATE INDEX "case_audit_logs_firm_id_timestamp_idx" ON "case_audit_logs" USING btree (firm_id, timestamp DESC);
CREATE TRIGGER "update_case_audit_logs_updated_at" BEFORE UPDATE ON "case_audit_logs"
    FOR EACH ROW
    EXECUTE FUNCTION update_updated_at_column();
CREATE TRIGGER "case_audit_logs_append_only" BEFORE UPDATE OR DELETE ON "case_audit_logs"
    FOR EACH ROW
    EXECUTE FUNCTION refuse_change_of_append_only_table();
CREATE TRIGGER "case_audit_logs_no_truncate" BEFORE TRUNCATE ON "case_audit_logs"
    FOR EACH STATEMENT
    EXECUTE FUNCTION refuse_change_of_append_only_table();
"""
    )


def rollback(migrator, database, *, fake=False):
    migrator.sql(
        r"""
DROP TABLE "case_audit_logs";
DROP TABLE "user_audit_logs";
DROP FUNCTION refuse_change_of_append_only_table();
"""
    )
