"""Firms, their users and their clients."""


def migrate(migrator, database, *, fake=False):
    migrator.sql(
        r"""
CREATE TABLE "firms" (
    "id" UUID NOT NULL DEFAULT uuid_generate_v4(),
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "updated_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "name" TEXT NOT NULL,
    "vat_id" TEXT NOT NULL,
    "email" TEXT,
    "phone" TEXT,
    "address" TEXT,
    "website" TEXT,
    CONSTRAINT "firms_pkey" PRIMARY KEY (id),
    CONSTRAINT "firms_vat_id_key" UNIQUE (vat_id)
);
CREATE TRIGGER "update_firms_updated_at" BEFORE UPDATE ON "firms"
    FOR EACH ROW
    EXECUTE FUNCTION update_updated_at_column();

CREATE TABLE "users" (
    "id" UUID NOT NULL DEFAULT uuid_generate_v4(),
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "updated_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "firm_id" UUID NOT NULL,
    "email" TEXT NOT NULL,
    "first_name" TEXT NOT NULL,
    "last_name" TEXT NOT NULL,
    "role" TEXT NOT NULL,
    "status" TEXT NOT NULL DEFAULT 'Pending',
    "azure_ad_id" UUID,
    "preferences" JSONB NOT NULL DEFAULT '{}',
    "last_active" TIMESTAMPTZ,
    "can_approve_documents" BOOLEAN NOT NULL DEFAULT false,
    "can_manage_cases" BOOLEAN NOT NULL DEFAULT false,
    CONSTRAINT "users_pkey" PRIMARY KEY (id, firm_id),
    CONSTRAINT "users_role_check" CHECK (role IN ('Partner', 'Associate', 'Paralegal')),
    CONSTRAINT "users_status_check" CHECK (status IN ('Pending', 'Active', 'Inactive')),
    CONSTRAINT "users_email_key" UNIQUE (email),
    CONSTRAINT "users_azure_ad_id_key" UNIQUE (azure_ad_id),
    CONSTRAINT "users_email_lowercase_check" CHECK (email = lower(btrim(email)) AND email <> '')
);
ALTER TABLE "users" ADD CONSTRAINT "users_firm_id_fkey" FOREIGN KEY ("firm_id") REFERENCES "firms" ("id");
CREATE INDEX "users_firm_id_role_idx" ON "users" USING btree (firm_id, role);
CREATE INDEX "users_firm_id_last_active_idx" ON "users" USING btree (firm_id, last_active DESC NULLS LAST);
CREATE TRIGGER "update_users_updated_at" BEFORE UPDATE ON "users"
    FOR EACH ROW
    EXECUTE FUNCTION update_updated_at_column();

CREATE TABLE "clients" (
    "id" UUID NOT NULL DEFAULT uuid_generate_v4(),
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "updated_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "firm_id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "contact_info" JSONB NOT NULL DEFAULT '{}',
    "address" TEXT,
    "email" TEXT,
    "phone" TEXT,
    CONSTRAINT "clients_pkey" PRIMARY KEY (id, firm_id),
    CONSTRAINT "clients_firm_id_name_key" UNIQUE (firm_id, name)
);
ALTER TABLE "clients" ADD CONSTRAINT "clients_firm_id_fkey" FOREIGN KEY ("firm_id") REFERENCES "firms" ("id");
CREATE INDEX "clients_name_trgm_idx" ON "clients" USING gin (name gin_trgm_ops);
CREATE TRIGGER "update_clients_updated_at" BEFORE UPDATE ON "clients"
    FOR EACH ROW
    EXECUTE FUNCTION update_updated_at_column();
"""
    )


def rollback(migrator, database, *, fake=False):
    migrator.sql(
        r"""
DROP TABLE "clients";
DROP TABLE "users";
DROP TABLE "firms";
"""
    )
