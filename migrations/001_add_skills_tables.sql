-- AI skills, their versions and the log of their use.
-- The statistics of a skill are running totals, kept at O(1) per log row by triggers with transition tables.

-- migrate:up
CREATE OR REPLACE FUNCTION update_updated_at_column() RETURNS trigger
LANGUAGE plpgsql AS $function$
BEGIN
    NEW.created_at := OLD.created_at;
    NEW.updated_at := now();
    RETURN NEW;
END
$function$;

CREATE OR REPLACE FUNCTION update_skill_statistics() RETURNS trigger
LANGUAGE plpgsql AS $function$
DECLARE
    changes refcursor;
    change record;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        UPDATE skills SET usage_count = 0, successful_count = 0, tokens_saved_total = 0;
        RETURN NULL;
    ELSIF TG_OP = 'INSERT' THEN
        OPEN changes FOR
            SELECT skill_id AS owner, sum(sign * (1)) AS usage_count, sum(sign * (success::int)) AS successful_count, sum(sign * (CASE WHEN success THEN tokens_saved ELSE 0 END)) AS tokens_saved_total
            FROM (SELECT 1 AS sign, * FROM added) AS log GROUP BY skill_id ORDER BY skill_id;
    ELSIF TG_OP = 'DELETE' THEN
        OPEN changes FOR
            SELECT skill_id AS owner, sum(sign * (1)) AS usage_count, sum(sign * (success::int)) AS successful_count, sum(sign * (CASE WHEN success THEN tokens_saved ELSE 0 END)) AS tokens_saved_total
            FROM (SELECT -1 AS sign, * FROM removed) AS log GROUP BY skill_id ORDER BY skill_id;
    ELSE
        OPEN changes FOR
            SELECT skill_id AS owner, sum(sign * (1)) AS usage_count, sum(sign * (success::int)) AS successful_count, sum(sign * (CASE WHEN success THEN tokens_saved ELSE 0 END)) AS tokens_saved_total
            FROM (SELECT 1 AS sign, * FROM added UNION ALL SELECT -1, * FROM removed) AS log GROUP BY skill_id ORDER BY skill_id;
    END IF;
    LOOP
        FETCH changes INTO change;
        EXIT WHEN NOT FOUND;
        UPDATE skills SET
            usage_count = skills.usage_count + change.usage_count,
            successful_count = skills.successful_count + change.successful_count,
            tokens_saved_total = skills.tokens_saved_total + change.tokens_saved_total
        WHERE id = change.owner AND (change.usage_count, change.successful_count, change.tokens_saved_total) <> (0, 0, 0);
    END LOOP;
    CLOSE changes;
    RETURN NULL;
END
$function$;

CREATE TABLE "skills" (
    "id" UUID NOT NULL DEFAULT uuid_generate_v4(),
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "updated_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "skill_id" TEXT NOT NULL,
    "display_name" TEXT NOT NULL,
    "description" TEXT,
    "version" TEXT NOT NULL DEFAULT '1.0.0',
    "type" TEXT,
    "category" TEXT,
    "usage_count" BIGINT NOT NULL DEFAULT 0,
    "successful_count" BIGINT NOT NULL DEFAULT 0,
    "tokens_saved_total" BIGINT NOT NULL DEFAULT 0,
    "effectiveness_score" NUMERIC(5, 2) NOT NULL GENERATED ALWAYS AS (COALESCE(round(100.0 * successful_count / NULLIF(usage_count, 0), 2), 0)) STORED,
    "token_savings_avg" NUMERIC(20, 4) NOT NULL GENERATED ALWAYS AS (COALESCE(tokens_saved_total::numeric / NULLIF(successful_count, 0), 0)) STORED,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_by" UUID,
    "metadata" JSONB NOT NULL DEFAULT '{}',
    CONSTRAINT "skills_pkey" PRIMARY KEY (id),
    CONSTRAINT "skills_skill_id_key" UNIQUE (skill_id),
    CONSTRAINT "skills_effectiveness_score_check" CHECK (effectiveness_score BETWEEN 0 AND 100),
    CONSTRAINT "skills_counts_check" CHECK (successful_count BETWEEN 0 AND usage_count),
    CONSTRAINT "skills_version_check" CHECK (version ~ '\A(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?\Z')
);
CREATE INDEX "skills_type_idx" ON "skills" USING btree (type);
CREATE INDEX "skills_category_idx" ON "skills" USING btree (category);
CREATE INDEX "skills_active_effectiveness_idx" ON "skills" USING btree (is_active, effectiveness_score DESC);
CREATE INDEX "skills_usage_count_idx" ON "skills" USING btree (usage_count DESC);
CREATE TRIGGER "update_skills_updated_at" BEFORE UPDATE ON "skills"
    FOR EACH ROW
    EXECUTE FUNCTION update_updated_at_column();

CREATE TABLE "skill_versions" (
    "id" UUID NOT NULL DEFAULT uuid_generate_v4(),
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "updated_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "skill_id" UUID NOT NULL,
    "version" TEXT NOT NULL,
    "content" TEXT NOT NULL,
    "changelog" TEXT,
    "is_current" BOOLEAN NOT NULL DEFAULT false,
    "deployed_at" TIMESTAMPTZ,
    "deprecated_at" TIMESTAMPTZ,
    "created_by" UUID,
    CONSTRAINT "skill_versions_pkey" PRIMARY KEY (id),
    CONSTRAINT "skill_versions_skill_id_version_key" UNIQUE (skill_id, version),
    CONSTRAINT "skill_versions_version_check" CHECK (version ~ '\A(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?\Z'),
    CONSTRAINT "skill_versions_deprecated_check" CHECK (deprecated_at >= deployed_at)
);
ALTER TABLE "skill_versions" ADD CONSTRAINT "skill_versions_skill_id_fkey" FOREIGN KEY ("skill_id") REFERENCES "skills" ("id") ON DELETE CASCADE;
CREATE UNIQUE INDEX "skill_versions_one_current_idx" ON "skill_versions" USING btree (skill_id) WHERE is_current;
CREATE INDEX "skill_versions_skill_id_deployed_idx" ON "skill_versions" USING btree (skill_id, deployed_at DESC);
CREATE TRIGGER "update_skill_versions_updated_at" BEFORE UPDATE ON "skill_versions"
    FOR EACH ROW
    EXECUTE FUNCTION update_updated_at_column();

CREATE TABLE "skill_usage_logs" (
    "id" UUID NOT NULL DEFAULT uuid_generate_v4(),
    "skill_id" UUID NOT NULL,
    "user_id" UUID,
    "workspace_id" UUID,
    "execution_time_ms" INTEGER NOT NULL,
    "tokens_used" INTEGER NOT NULL,
    "tokens_saved" INTEGER NOT NULL DEFAULT 0,
    "cost_usd" NUMERIC(10, 6) NOT NULL DEFAULT 0,
    "success" BOOLEAN NOT NULL,
    "error_message" TEXT,
    "input_data" JSONB,
    "output_data" JSONB,
    "metadata" JSONB NOT NULL DEFAULT '{}',
    "executed_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT "skill_usage_logs_pkey" PRIMARY KEY (id),
    CONSTRAINT "skill_usage_logs_execution_time_ms_check" CHECK (execution_time_ms >= 0),
    CONSTRAINT "skill_usage_logs_tokens_used_check" CHECK (tokens_used >= 0),
    CONSTRAINT "skill_usage_logs_cost_usd_check" CHECK (cost_usd >= 0 AND cost_usd <> 'NaN')
);
ALTER TABLE "skill_usage_logs" ADD CONSTRAINT "skill_usage_logs_skill_id_fkey" FOREIGN KEY ("skill_id") REFERENCES "skills" ("id") ON DELETE CASCADE;
CREATE INDEX "skill_usage_logs_skill_user_executed_idx" ON "skill_usage_logs" USING btree (skill_id, user_id, executed_at);
CREATE INDEX "skill_usage_logs_skill_executed_idx" ON "skill_usage_logs" USING btree (skill_id, executed_at DESC);
CREATE INDEX "skill_usage_logs_workspace_executed_idx" ON "skill_usage_logs" USING btree (workspace_id, executed_at DESC);
CREATE INDEX "skill_usage_logs_executed_at_idx" ON "skill_usage_logs" USING btree (executed_at DESC);
CREATE INDEX "skill_usage_logs_failed_idx" ON "skill_usage_logs" USING btree (executed_at DESC) WHERE NOT success;
CREATE TRIGGER "update_skill_stats_on_usage" AFTER INSERT ON "skill_usage_logs"
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT
    EXECUTE FUNCTION update_skill_statistics();
CREATE TRIGGER "update_skill_stats_on_usage_updated" AFTER UPDATE ON "skill_usage_logs"
    REFERENCING NEW TABLE AS added OLD TABLE AS removed
    FOR EACH STATEMENT
    EXECUTE FUNCTION update_skill_statistics();
CREATE TRIGGER "update_skill_stats_on_usage_deleted" AFTER DELETE ON "skill_usage_logs"
    REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT
    EXECUTE FUNCTION update_skill_statistics();
CREATE TRIGGER "update_skill_stats_on_usage_truncated" AFTER TRUNCATE ON "skill_usage_logs"
    FOR EACH STATEMENT
    EXECUTE FUNCTION update_skill_statistics();

\quit
-- migrate:down
DROP TABLE "skill_usage_logs";
DROP TABLE "skill_versions";
DROP TABLE "skills";
DROP FUNCTION update_skill_statistics();
DROP FUNCTION update_updated_at_column();
