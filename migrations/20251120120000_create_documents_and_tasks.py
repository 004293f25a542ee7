"""Documents of a case, with their embeddings, and the work to be done on it."""


def migrate(migrator, database, *, fake=False):
    migrator.sql(
        r"""
CREATE TABLE "documents" (
    "id" UUID NOT NULL DEFAULT uuid_generate_v4(),
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "updated_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "firm_id" UUID NOT NULL,
    "case_id" UUID NOT NULL,
    "title" TEXT NOT NULL,
    "document_type" TEXT NOT NULL,
    "status" TEXT NOT NULL DEFAULT 'Draft',
    "content" TEXT,
    "file_name" TEXT,
    "file_size_bytes" BIGINT,
    "mime_type" TEXT,
    "storage_url" TEXT,
    "version" INTEGER NOT NULL DEFAULT 1,
    "ai_generated" BOOLEAN NOT NULL DEFAULT false,
    "created_by_id" UUID,
    "content_embedding" vector(1536),
    "metadata" JSONB NOT NULL DEFAULT '{}',
    CONSTRAINT "documents_pkey" PRIMARY KEY (id, firm_id),
    CONSTRAINT "documents_document_type_check" CHECK (document_type IN ('Contract', 'Pleading', 'Motion', 'Brief', 'Evidence', 'Correspondence', 'Other')),
    CONSTRAINT "documents_status_check" CHECK (status IN ('Draft', 'Review', 'Approved', 'Filed')),
    CONSTRAINT "documents_version_check" CHECK (version >= 1),
    CONSTRAINT "documents_file_size_bytes_check" CHECK (file_size_bytes >= 0)
);
ALTER TABLE "documents" ADD CONSTRAINT "documents_firm_id_fkey" FOREIGN KEY ("firm_id") REFERENCES "firms" ("id");
ALTER TABLE "documents" ADD CONSTRAINT "documents_case_id_fkey" FOREIGN KEY ("case_id", "firm_id") REFERENCES "cases" ("id", "firm_id") ON DELETE CASCADE;
ALTER TABLE "documents" ADD CONSTRAINT "documents_created_by_id_fkey" FOREIGN KEY ("created_by_id", "firm_id") REFERENCES "users" ("id", "firm_id") ON DELETE SET NULL ("created_by_id");
CREATE INDEX "documents_title_trgm_idx" ON "documents" USING gin (title gin_trgm_ops);
CREATE INDEX "documents_content_embedding_idx" ON "documents" USING hnsw (content_embedding vector_cosine_ops);
CREATE INDEX "documents_firm_id_case_id_idx" ON "documents" USING btree (firm_id, case_id, created_at DESC);
CREATE INDEX "documents_firm_id_type_status_idx" ON "documents" USING btree (firm_id, document_type, status);
CREATE INDEX "documents_firm_id_created_by_idx" ON "documents" USING btree (firm_id, created_by_id);
CREATE TRIGGER "update_documents_updated_at" BEFORE UPDATE ON "documents"
    FOR EACH ROW
    EXECUTE FUNCTION update_updated_at_column();

CREATE TABLE "tasks" (
    "id" UUID NOT NULL DEFAULT uuid_generate_v4(),
    "created_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "updated_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "firm_id" UUID NOT NULL,
    "case_id" UUID NOT NULL,
    "title" TEXT NOT NULL,
    "description" TEXT,
    "task_type" TEXT NOT NULL,
    "status" TEXT NOT NULL DEFAULT 'Pending',
    "priority" TEXT NOT NULL DEFAULT 'Medium',
    "assigned_to_id" UUID,
    "created_by_id" UUID,
    "due_date" DATE,
    "estimated_hours" NUMERIC(7, 2),
    "actual_hours" NUMERIC(7, 2),
    "completed_at" TIMESTAMPTZ,
    CONSTRAINT "tasks_pkey" PRIMARY KEY (id, firm_id),
    CONSTRAINT "tasks_task_type_check" CHECK (task_type IN ('Research', 'DocumentCreation', 'DocumentReview', 'ClientCommunication', 'CourtFiling', 'CasePreparation')),
    CONSTRAINT "tasks_status_check" CHECK (status IN ('Pending', 'InProgress', 'Completed')),
    CONSTRAINT "tasks_priority_check" CHECK (priority IN ('Low', 'Medium', 'High', 'Critical')),
    CONSTRAINT "tasks_completed_at_check" CHECK ((status = 'Completed') = (completed_at IS NOT NULL)),
    CONSTRAINT "tasks_estimated_hours_check" CHECK (estimated_hours >= 0 AND estimated_hours <> 'NaN'),
    CONSTRAINT "tasks_actual_hours_check" CHECK (actual_hours >= 0 AND actual_hours <> 'NaN')
);
ALTER TABLE "tasks" ADD CONSTRAINT "tasks_firm_id_fkey" FOREIGN KEY ("firm_id") REFERENCES "firms" ("id");
ALTER TABLE "tasks" ADD CONSTRAINT "tasks_case_id_fkey" FOREIGN KEY ("case_id", "firm_id") REFERENCES "cases" ("id", "firm_id") ON DELETE CASCADE;
ALTER TABLE "tasks" ADD CONSTRAINT "tasks_assigned_to_id_fkey" FOREIGN KEY ("assigned_to_id", "firm_id") REFERENCES "users" ("id", "firm_id") ON DELETE SET NULL ("assigned_to_id");
ALTER TABLE "tasks" ADD CONSTRAINT "tasks_created_by_id_fkey" FOREIGN KEY ("created_by_id", "firm_id") REFERENCES "users" ("id", "firm_id") ON DELETE SET NULL ("created_by_id");
CREATE INDEX "tasks_firm_id_case_id_idx" ON "tasks" USING btree (firm_id, case_id);
CREATE INDEX "tasks_firm_id_assigned_to_idx" ON "tasks" USING btree (firm_id, assigned_to_id, status, due_date);
CREATE INDEX "tasks_firm_id_created_by_idx" ON "tasks" USING btree (firm_id, created_by_id);
CREATE INDEX "tasks_firm_id_open_due_idx" ON "tasks" USING btree (firm_id, due_date) WHERE status <> 'Completed';
CREATE TRIGGER "update_tasks_updated_at" BEFORE UPDATE ON "tasks"
    FOR EACH ROW
    EXECUTE FUNCTION update_updated_at_column();
"""
    )


def rollback(migrator, database, *, fake=False):
    migrator.sql(
        r"""
DROP TABLE "tasks";
DROP TABLE "documents";
"""
    )
