"""Cases, the people who work on them and the parties in them."""


def migrate(migrator, database, *, fake=False):
    migrator.sql(
        r"""
CREATE TABLE "cases" (
    "id" UUID NOT NULL DEFAULT uuid_generate_v4(),
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "updated_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "firm_id" UUID NOT NULL,
    "case_number" TEXT NOT NULL,
    "title" TEXT NOT NULL,
    "client_id" UUID NOT NULL,
    "status" TEXT NOT NULL DEFAULT 'Active',
    "type" TEXT NOT NULL,
    "priority" TEXT NOT NULL DEFAULT 'Medium',
    "description" TEXT,
    "opened_date" DATE NOT NULL,
    "closed_date" DATE,
    "value" NUMERIC(15, 2),
    "court_name" TEXT,
    "judge_name" TEXT,
    "next_hearing_date" TIMESTAMPTZ,
    "metadata" JSONB NOT NULL DEFAULT '{}',
    CONSTRAINT "cases_pkey" PRIMARY KEY (id, firm_id),
    CONSTRAINT "cases_status_check" CHECK (status IN ('Active', 'OnHold', 'Closed', 'Archived')),
    CONSTRAINT "cases_type_check" CHECK (type IN ('Civil', 'Criminal', 'Corporate', 'IntellectualProperty', 'Family', 'Labor')),
    CONSTRAINT "cases_priority_check" CHECK (priority IN ('Low', 'Medium', 'High', 'Critical')),
    CONSTRAINT "cases_firm_id_case_number_key" UNIQUE (firm_id, case_number),
    CONSTRAINT "cases_value_check" CHECK (value <> 'NaN'),
    CONSTRAINT "cases_closed_after_opened_check" CHECK (closed_date >= opened_date),
    CONSTRAINT "cases_closed_has_date_check" CHECK (status NOT IN ('Closed', 'Archived') OR closed_date IS NOT NULL)
);
ALTER TABLE "cases" ADD CONSTRAINT "cases_firm_id_fkey" FOREIGN KEY ("firm_id") REFERENCES "firms" ("id");
ALTER TABLE "cases" ADD CONSTRAINT "cases_client_id_fkey" FOREIGN KEY ("client_id", "firm_id") REFERENCES "clients" ("id", "firm_id");
CREATE INDEX "cases_title_trgm_idx" ON "cases" USING gin (title gin_trgm_ops);
CREATE INDEX "cases_firm_id_client_id_idx" ON "cases" USING btree (firm_id, client_id);
CREATE INDEX "cases_firm_id_status_opened_idx" ON "cases" USING btree (firm_id, status, opened_date DESC);
CREATE INDEX "cases_firm_id_type_idx" ON "cases" USING btree (firm_id, type);
CREATE INDEX "cases_firm_id_next_hearing_idx" ON "cases" USING btree (firm_id, next_hearing_date) WHERE next_hearing_date IS NOT NULL;
CREATE TRIGGER "update_cases_updated_at" BEFORE UPDATE ON "cases"
    FOR EACH ROW
    EXECUTE FUNCTION update_updated_at_column();

CREATE TABLE "case_team" (
    "id" UUID NOT NULL DEFAULT uuid_generate_v4(),
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "updated_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "firm_id" UUID NOT NULL,
    "case_id" UUID NOT NULL,
    "user_id" UUID NOT NULL,
    "role" TEXT,
    "assigned_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "assigned_by_id" UUID,
    CONSTRAINT "case_team_pkey" PRIMARY KEY (id, firm_id),
    CONSTRAINT "case_team_case_id_user_id_key" UNIQUE (firm_id, case_id, user_id)
);
ALTER TABLE "case_team" ADD CONSTRAINT "case_team_firm_id_fkey" FOREIGN KEY ("firm_id") REFERENCES "firms" ("id");
ALTER TABLE "case_team" ADD CONSTRAINT "case_team_case_id_fkey" FOREIGN KEY ("case_id", "firm_id") REFERENCES "cases" ("id", "firm_id") ON DELETE CASCADE;
ALTER TABLE "case_team" ADD CONSTRAINT "case_team_user_id_fkey" FOREIGN KEY ("user_id", "firm_id") REFERENCES "users" ("id", "firm_id") ON DELETE CASCADE;
ALTER TABLE "case_team" ADD CONSTRAINT "case_team_assigned_by_id_fkey" FOREIGN KEY ("assigned_by_id", "firm_id") REFERENCES "users" ("id", "firm_id") ON DELETE SET NULL ("assigned_by_id");
CREATE INDEX "case_team_firm_id_user_id_idx" ON "case_team" USING btree (firm_id, user_id);
CREATE INDEX "case_team_firm_id_assigned_by_idx" ON "case_team" USING btree (firm_id, assigned_by_id);
CREATE TRIGGER "update_case_team_updated_at" BEFORE UPDATE ON "case_team"
    FOR EACH ROW
    EXECUTE FUNCTION update_updated_at_column();

CREATE TABLE "case_actors" (
    "id" UUID NOT NULL DEFAULT uuid_generate_v4(),
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "updated_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "firm_id" UUID NOT NULL,
    "case_id" UUID NOT NULL,
    "role" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "organization" TEXT,
    "email" TEXT,
    "phone" TEXT,
    "address" TEXT,
    "notes" TEXT,
    CONSTRAINT "case_actors_pkey" PRIMARY KEY (id, firm_id),
    CONSTRAINT "case_actors_role_check" CHECK (role IN ('Client', 'OpposingParty', 'OpposingCounsel', 'Witness', 'Expert'))
);
ALTER TABLE "case_actors" ADD CONSTRAINT "case_actors_firm_id_fkey" FOREIGN KEY ("firm_id") REFERENCES "firms" ("id");
ALTER TABLE "case_actors" ADD CONSTRAINT "case_actors_case_id_fkey" FOREIGN KEY ("case_id", "firm_id") REFERENCES "cases" ("id", "firm_id") ON DELETE CASCADE;
CREATE INDEX "case_actors_firm_id_case_id_role_idx" ON "case_actors" USING btree (firm_id, case_id, role);
CREATE INDEX "case_actors_name_trgm_idx" ON "case_actors" USING gin (name gin_trgm_ops);
CREATE TRIGGER "update_case_actors_updated_at" BEFORE UPDATE ON "case_actors"
    FOR EACH ROW
    EXECUTE FUNCTION update_updated_at_column();
"""
    )


def rollback(migrator, database, *, fake=False):
    migrator.sql(
        r"""
DROP TABLE "case_actors";
DROP TABLE "case_team";
DROP TABLE "cases";
"""
    )
