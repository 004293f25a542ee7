-- Discovery of document types in a firm's archive, and the Romanian templates made from them.

-- migrate:up
CREATE OR REPLACE FUNCTION update_template_statistics() RETURNS trigger
LANGUAGE plpgsql AS $function$
DECLARE
    changes refcursor;
    change record;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        UPDATE romanian_templates SET usage_count = 0, rated_count = 0, satisfaction_total = 0;
        RETURN NULL;
    ELSIF TG_OP = 'INSERT' THEN
        OPEN changes FOR
            SELECT template_id AS owner, sum(sign * (1)) AS usage_count, sum(sign * ((user_satisfaction_score IS NOT NULL)::int)) AS rated_count, sum(sign * (COALESCE(user_satisfaction_score, 0))) AS satisfaction_total
            FROM (SELECT 1 AS sign, * FROM added) AS log GROUP BY template_id ORDER BY template_id;
    ELSIF TG_OP = 'DELETE' THEN
        OPEN changes FOR
            SELECT template_id AS owner, sum(sign * (1)) AS usage_count, sum(sign * ((user_satisfaction_score IS NOT NULL)::int)) AS rated_count, sum(sign * (COALESCE(user_satisfaction_score, 0))) AS satisfaction_total
            FROM (SELECT -1 AS sign, * FROM removed) AS log GROUP BY template_id ORDER BY template_id;
    ELSE
        OPEN changes FOR
            SELECT template_id AS owner, sum(sign * (1)) AS usage_count, sum(sign * ((user_satisfaction_score IS NOT NULL)::int)) AS rated_count, sum(sign * (COALESCE(user_satisfaction_score, 0))) AS satisfaction_total
            FROM (SELECT 1 AS sign, * FROM added UNION ALL SELECT -1, * FROM removed) AS log GROUP BY template_id ORDER BY template_id;
    END IF;
    LOOP
        FETCH changes INTO change;
        EXIT WHEN NOT FOUND;
        UPDATE romanian_templates SET
            usage_count = romanian_templates.usage_count + change.usage_count,
            rated_count = romanian_templates.rated_count + change.rated_count,
            satisfaction_total = romanian_templates.satisfaction_total + change.satisfaction_total
        WHERE id = change.owner AND (change.usage_count, change.rated_count, change.satisfaction_total) <> (0, 0, 0);
    END LOOP;
    CLOSE changes;
    RETURN NULL;
END
$function$;

CREATE TABLE "document_type_registry" (
    "id" UUID NOT NULL DEFAULT uuid_generate_v4(),
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "updated_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "discovered_type_original" TEXT NOT NULL,
    "discovered_type_normalized" TEXT NOT NULL,
    "discovered_type_english" TEXT,
    "primary_language" TEXT NOT NULL DEFAULT 'ro',
    "document_category" TEXT,
    "mapped_skill_id" UUID,
    "mapping_confidence" NUMERIC(5, 4),
    "mapping_status" TEXT NOT NULL DEFAULT 'pending',
    "first_seen_date" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "last_seen_date" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "total_occurrences" INTEGER NOT NULL DEFAULT 1,
    "unique_variations" INTEGER NOT NULL DEFAULT 1,
    "avg_document_length" INTEGER,
    "frequency_score" NUMERIC(5, 4),
    "complexity_score" NUMERIC(5, 4),
    "business_value_score" NUMERIC(5, 4),
    "priority_score" NUMERIC(5, 4),
    "sample_document_ids" UUID[] NOT NULL DEFAULT '{}',
    "common_clauses" JSONB NOT NULL DEFAULT '[]',
    "typical_structure" JSONB NOT NULL DEFAULT '{}',
    "reviewed_by" UUID,
    "reviewed_at" TIMESTAMPTZ,
    "mapped_template_id" UUID,
    CONSTRAINT "document_type_registry_pkey" PRIMARY KEY (id),
    CONSTRAINT "document_type_registry_primary_language_check" CHECK (primary_language IN ('ro', 'en', 'mixed')),
    CONSTRAINT "document_type_registry_document_category_check" CHECK (document_category IN ('contract', 'notice', 'filing', 'correspondence')),
    CONSTRAINT "document_type_registry_mapping_status_check" CHECK (mapping_status IN ('pending', 'auto_mapped', 'manual_mapped', 'template_created', 'queue_review')),
    CONSTRAINT "document_type_registry_normalized_language_key" UNIQUE (discovered_type_normalized, primary_language),
    CONSTRAINT "document_type_registry_mapping_confidence_check" CHECK (mapping_confidence BETWEEN 0 AND 1),
    CONSTRAINT "document_type_registry_frequency_score_check" CHECK (frequency_score BETWEEN 0 AND 1),
    CONSTRAINT "document_type_registry_complexity_score_check" CHECK (complexity_score BETWEEN 0 AND 1),
    CONSTRAINT "document_type_registry_business_value_score_check" CHECK (business_value_score BETWEEN 0 AND 1),
    CONSTRAINT "document_type_registry_priority_score_check" CHECK (priority_score BETWEEN 0 AND 1),
    CONSTRAINT "document_type_registry_counts_check" CHECK (total_occurrences >= 0 AND unique_variations >= 0),
    CONSTRAINT "document_type_registry_seen_check" CHECK (last_seen_date >= first_seen_date)
);
CREATE INDEX "document_type_registry_status_priority_idx" ON "document_type_registry" USING btree (mapping_status, priority_score DESC);
CREATE INDEX "document_type_registry_category_idx" ON "document_type_registry" USING btree (document_category);
CREATE INDEX "document_type_registry_occurrences_idx" ON "document_type_registry" USING btree (total_occurrences DESC);
CREATE INDEX "document_type_registry_first_seen_idx" ON "document_type_registry" USING btree (first_seen_date DESC);
CREATE INDEX "document_type_registry_mapped_skill_idx" ON "document_type_registry" USING btree (mapped_skill_id);
CREATE INDEX "document_type_registry_mapped_template_idx" ON "document_type_registry" USING btree (mapped_template_id);
CREATE INDEX "document_type_registry_name_trgm_idx" ON "document_type_registry" USING gin (discovered_type_normalized gin_trgm_ops);
CREATE TRIGGER "update_document_type_registry_updated_at" BEFORE UPDATE ON "document_type_registry"
    FOR EACH ROW
    EXECUTE FUNCTION update_updated_at_column();

CREATE TABLE "document_type_instances" (
    "id" UUID NOT NULL DEFAULT uuid_generate_v4(),
    "document_id" UUID NOT NULL,
    "registry_id" UUID NOT NULL,
    "confidence_score" NUMERIC(5, 4),
    "detected_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT "document_type_instances_pkey" PRIMARY KEY (id),
    CONSTRAINT "document_type_instances_confidence_score_check" CHECK (confidence_score BETWEEN 0 AND 1)
);
CREATE INDEX "document_type_instances_registry_detected_idx" ON "document_type_instances" USING btree (registry_id, detected_at DESC);
CREATE INDEX "document_type_instances_document_id_idx" ON "document_type_instances" USING btree (document_id);

CREATE TABLE "romanian_templates" (
    "id" UUID NOT NULL DEFAULT uuid_generate_v4(),
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "updated_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "template_name_ro" TEXT NOT NULL,
    "template_name_en" TEXT,
    "template_slug" TEXT NOT NULL,
    "legal_category" TEXT,
    "document_type_id" UUID,
    "civil_code_references" TEXT[] NOT NULL DEFAULT '{}',
    "jurisdiction" TEXT NOT NULL DEFAULT 'RO',
    "template_structure" JSONB NOT NULL,
    "standard_clauses" JSONB NOT NULL DEFAULT '[]',
    "variable_mappings" JSONB NOT NULL DEFAULT '{}',
    "created_from_pattern" BOOLEAN NOT NULL DEFAULT false,
    "source_document_ids" UUID[] NOT NULL DEFAULT '{}',
    "usage_count" BIGINT NOT NULL DEFAULT 0,
    "rated_count" BIGINT NOT NULL DEFAULT 0,
    "satisfaction_total" BIGINT NOT NULL DEFAULT 0,
    "effectiveness_score" NUMERIC(5, 2) NOT NULL GENERATED ALWAYS AS (COALESCE(round(100.0 * satisfaction_total / NULLIF(rated_count, 0) / 5, 2), 0)) STORED,
    "version" TEXT NOT NULL DEFAULT '1.0.0',
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "created_by" UUID,
    "last_modified_by" UUID,
    CONSTRAINT "romanian_templates_pkey" PRIMARY KEY (id),
    CONSTRAINT "romanian_templates_template_slug_key" UNIQUE (template_slug),
    CONSTRAINT "romanian_templates_effectiveness_score_check" CHECK (effectiveness_score BETWEEN 0 AND 100),
    CONSTRAINT "romanian_templates_counts_check" CHECK (rated_count BETWEEN 0 AND usage_count)
);
CREATE INDEX "romanian_templates_document_type_idx" ON "romanian_templates" USING btree (document_type_id);
CREATE INDEX "romanian_templates_category_active_idx" ON "romanian_templates" USING btree (legal_category, is_active);
CREATE INDEX "romanian_templates_effectiveness_idx" ON "romanian_templates" USING btree (effectiveness_score DESC);
CREATE TRIGGER "update_romanian_templates_updated_at" BEFORE UPDATE ON "romanian_templates"
    FOR EACH ROW
    EXECUTE FUNCTION update_updated_at_column();

CREATE TABLE "document_patterns" (
    "id" UUID NOT NULL DEFAULT uuid_generate_v4(),
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "updated_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "pattern_type" TEXT NOT NULL,
    "pattern_text_ro" TEXT NOT NULL,
    "pattern_text_en" TEXT,
    "document_type_id" UUID,
    "occurrence_count" INTEGER NOT NULL DEFAULT 1,
    "document_sources" UUID[] NOT NULL DEFAULT '{}',
    "category" TEXT,
    "confidence_score" NUMERIC(5, 4),
    "used_in_templates" UUID[] NOT NULL DEFAULT '{}',
    "first_seen_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "last_seen_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT "document_patterns_pkey" PRIMARY KEY (id),
    CONSTRAINT "document_patterns_pattern_type_check" CHECK (pattern_type IN ('clause', 'phrase', 'structure', 'header')),
    CONSTRAINT "document_patterns_category_check" CHECK (category IN ('standard_clause', 'legal_reference', 'formulaic_phrase')),
    CONSTRAINT "document_patterns_occurrence_count_check" CHECK (occurrence_count >= 0),
    CONSTRAINT "document_patterns_confidence_score_check" CHECK (confidence_score BETWEEN 0 AND 1),
    CONSTRAINT "document_patterns_seen_check" CHECK (last_seen_at >= first_seen_at)
);
CREATE INDEX "document_patterns_type_occurrences_idx" ON "document_patterns" USING btree (document_type_id, occurrence_count DESC);
CREATE INDEX "document_patterns_pattern_type_idx" ON "document_patterns" USING btree (pattern_type, category);
CREATE INDEX "document_patterns_text_ro_trgm_idx" ON "document_patterns" USING gin (pattern_text_ro gin_trgm_ops);
CREATE TRIGGER "update_document_patterns_updated_at" BEFORE UPDATE ON "document_patterns"
    FOR EACH ROW
    EXECUTE FUNCTION update_updated_at_column();

CREATE TABLE "template_usage_logs" (
    "id" UUID NOT NULL DEFAULT uuid_generate_v4(),
    "template_id" UUID NOT NULL,
    "user_id" UUID,
    "generation_time_ms" INTEGER NOT NULL,
    "variables_filled" INTEGER NOT NULL DEFAULT 0,
    "manual_edits_count" INTEGER NOT NULL DEFAULT 0,
    "user_satisfaction_score" INTEGER,
    "time_saved_minutes" INTEGER,
    "use_case" TEXT,
    "metadata" JSONB NOT NULL DEFAULT '{}',
    "used_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT "template_usage_logs_pkey" PRIMARY KEY (id),
    CONSTRAINT "template_usage_logs_generation_time_ms_check" CHECK (generation_time_ms >= 0),
    CONSTRAINT "template_usage_logs_user_satisfaction_score_check" CHECK (user_satisfaction_score BETWEEN 1 AND 5),
    CONSTRAINT "template_usage_logs_counts_check" CHECK (variables_filled >= 0 AND manual_edits_count >= 0)
);
CREATE INDEX "template_usage_logs_template_used_idx" ON "template_usage_logs" USING btree (template_id, used_at DESC);
CREATE INDEX "template_usage_logs_user_used_idx" ON "template_usage_logs" USING btree (user_id, used_at DESC);
CREATE INDEX "template_usage_logs_used_at_idx" ON "template_usage_logs" USING btree (used_at DESC);
CREATE TRIGGER "update_template_stats_on_usage" AFTER INSERT ON "template_usage_logs"
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT
    EXECUTE FUNCTION update_template_statistics();
CREATE TRIGGER "update_template_stats_on_usage_updated" AFTER UPDATE ON "template_usage_logs"
    REFERENCING NEW TABLE AS added OLD TABLE AS removed
    FOR EACH STATEMENT
    EXECUTE FUNCTION update_template_statistics();
CREATE TRIGGER "update_template_stats_on_usage_deleted" AFTER DELETE ON "template_usage_logs"
    REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT
    EXECUTE FUNCTION update_template_statistics();
CREATE TRIGGER "update_template_stats_on_usage_truncated" AFTER TRUNCATE ON "template_usage_logs"
    FOR EACH STATEMENT
    EXECUTE FUNCTION update_template_statistics();

ALTER TABLE "document_type_registry" ADD CONSTRAINT "document_type_registry_mapped_skill_id_fkey" FOREIGN KEY ("mapped_skill_id") REFERENCES "skills" ("id") ON DELETE SET NULL;
ALTER TABLE "document_type_registry" ADD CONSTRAINT "document_type_registry_mapped_template_id_fkey" FOREIGN KEY ("mapped_template_id") REFERENCES "romanian_templates" ("id") ON DELETE SET NULL;
ALTER TABLE "document_type_instances" ADD CONSTRAINT "document_type_instances_registry_id_fkey" FOREIGN KEY ("registry_id") REFERENCES "document_type_registry" ("id") ON DELETE CASCADE;
ALTER TABLE "romanian_templates" ADD CONSTRAINT "romanian_templates_document_type_id_fkey" FOREIGN KEY ("document_type_id") REFERENCES "document_type_registry" ("id") ON DELETE SET NULL;
ALTER TABLE "document_patterns" ADD CONSTRAINT "document_patterns_document_type_id_fkey" FOREIGN KEY ("document_type_id") REFERENCES "document_type_registry" ("id") ON DELETE SET NULL;
ALTER TABLE "template_usage_logs" ADD CONSTRAINT "template_usage_logs_template_id_fkey" FOREIGN KEY ("template_id") REFERENCES "romanian_templates" ("id") ON DELETE CASCADE;

CREATE VIEW "weekly_discovery_metrics" WITH (security_invoker = true) AS
SELECT date_trunc('week', r.first_seen_date) AS week,
       count(*) AS discovered_types,
       sum(r.total_occurrences) AS total_occurrences,
       count(*) FILTER (WHERE r.mapping_status IN ('auto_mapped', 'manual_mapped', 'template_created'))
           AS mapped_types,
       count(*) FILTER (WHERE r.mapping_status IN ('pending', 'queue_review')) AS open_types,
       round(avg(r.mapping_confidence), 4) AS avg_mapping_confidence,
       round(avg(r.priority_score), 4) AS avg_priority_score
FROM document_type_registry AS r
GROUP BY date_trunc('week', r.first_seen_date);

CREATE VIEW "template_effectiveness_report" WITH (security_invoker = true) AS
SELECT t.id AS template_id,
       t.template_slug,
       t.template_name_ro,
       t.legal_category,
       t.usage_count,
       t.effectiveness_score,
       count(l.id) FILTER (WHERE l.used_at >= now() - interval '30 days') AS used_last_30_days,
       round(avg(l.generation_time_ms)) AS avg_generation_time_ms,
       round(avg(l.manual_edits_count), 2) AS avg_manual_edits,
       round(avg(l.user_satisfaction_score), 2) AS avg_satisfaction,
       coalesce(sum(l.time_saved_minutes), 0) AS total_time_saved_minutes,
       max(l.used_at) AS last_used_at
FROM romanian_templates AS t
LEFT JOIN template_usage_logs AS l ON l.template_id = t.id
GROUP BY t.id;

CREATE VIEW "template_candidates" WITH (security_invoker = true) AS
SELECT r.id AS document_type_id,
       r.discovered_type_original,
       r.discovered_type_normalized,
       r.primary_language,
       r.document_category,
       r.mapping_status,
       r.total_occurrences,
       r.frequency_score,
       r.complexity_score,
       r.business_value_score,
       r.priority_score
FROM document_type_registry AS r
WHERE r.mapping_status IN ('pending', 'queue_review') AND r.total_occurrences >= 20
ORDER BY r.priority_score DESC NULLS LAST, r.total_occurrences DESC;

\quit
-- migrate:down
DROP VIEW "template_candidates";
DROP VIEW "template_effectiveness_report";
DROP VIEW "weekly_discovery_metrics";
ALTER TABLE "document_type_registry" DROP CONSTRAINT "document_type_registry_mapped_template_id_fkey";
DROP TABLE "template_usage_logs";
DROP TABLE "document_patterns";
DROP TABLE "romanian_templates";
DROP TABLE "document_type_instances";
DROP TABLE "document_type_registry";
DROP FUNCTION update_template_statistics();
