-- Documents for retrieval: one partition a tenant, row-level security that binds every role, passages encrypted.
--
-- A connection says for whom it works with set_config('app.tenant', …, true) and set_config('app.workload', …,
-- true), for one transaction. Without both it sees no row and writes none. The owner has no policy at all, so
-- with FORCE even the owner sees nothing. There are no foreign keys between these tables: PostgreSQL checks
-- them as the owner, who sees nothing.

CREATE SCHEMA documents;

-- What the vectors are: written by the first tenant's partition, the same for all. Another model means another
-- space, in which distances to the old vectors have no meaning.
CREATE TABLE documents.embedding_space (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    model text NOT NULL,
    dimensions int NOT NULL CHECK (dimensions BETWEEN 8 AND 2000) -- HNSW indexes at most 2000
);

-- A tenant's data keys, each encrypted by KMS under the workload's key. Deleting the rows shreds the passages.
CREATE TABLE documents.data_key (
    id uuid PRIMARY KEY,
    tenant text NOT NULL CHECK (tenant <> ''),
    workload text NOT NULL CHECK (workload <> ''),
    key_arn text NOT NULL,
    ciphertext bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX data_key_newest ON documents.data_key (tenant, workload, created_at DESC);

-- What was ingested. `digest` is that of the source's bytes, `recipe` names how they were made into passages:
-- when neither changed, there is nothing to do.
CREATE TABLE documents.document (
    tenant text NOT NULL CHECK (tenant <> ''),
    workload text NOT NULL CHECK (workload <> ''),
    collection text NOT NULL,
    name text NOT NULL,
    digest text NOT NULL CHECK (digest ~ '^sha256:[0-9a-f]{64}$'),
    recipe text NOT NULL,
    data_class text NOT NULL CHECK (data_class IN ('public', 'internal', 'confidential', 'restricted')),
    chunks int NOT NULL CHECK (chunks > 0),
    modified_at timestamptz NOT NULL, -- of the source: an older one never replaces a newer one
    ingested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, workload, collection, name)
);

-- `embedding` has no fixed dimension here; each partition checks it and indexes it with its own.
CREATE TABLE documents.chunk (
    tenant text NOT NULL CHECK (tenant <> ''),
    workload text NOT NULL CHECK (workload <> ''),
    collection text NOT NULL,
    document text NOT NULL,
    number int NOT NULL CHECK (number >= 0),
    document_digest text NOT NULL,
    data_class text NOT NULL CHECK (data_class IN ('public', 'internal', 'confidential', 'restricted')),
    data_key_id uuid NOT NULL,
    nonce bytea NOT NULL CHECK (length(nonce) = 12),
    ciphertext bytea NOT NULL,
    embedding public.vector NOT NULL,
    PRIMARY KEY (tenant, workload, collection, document, number)
) PARTITION BY LIST (tenant);

DO $$
DECLARE
    -- '' is what a setting falls back to after a transaction that had set it.
    own text := $own$ tenant = NULLIF(current_setting('app.tenant', true), '')
        AND workload = NULLIF(current_setting('app.workload', true), '') $own$;
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['data_key', 'document', 'chunk'] LOOP
        EXECUTE format('ALTER TABLE documents.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE documents.%I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY own ON documents.%I FOR ALL TO gateway_ingest USING (%s) WITH CHECK (%s)',
            name, own, own);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['data_key', 'chunk'] LOOP
        EXECUTE format('CREATE POLICY own_read ON documents.%I FOR SELECT TO gateway USING (%s)', name, own);
    END LOOP;
END
$$;

-- Makes the partition of a tenant, if there is none: the one thing ingestion may do to the schema.
-- Refuses vectors of another space than those already stored.
CREATE FUNCTION documents.ensure_tenant_partition(p_tenant text, p_model text, p_dimensions int) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- A digest, because a tenant's name may be anything and an identifier may not.
    partition text := 'chunk_' || left(encode(sha256(convert_to(p_tenant, 'UTF8')), 'hex'), 32);
    space documents.embedding_space;
BEGIN
    IF p_tenant IS DISTINCT FROM NULLIF(current_setting('app.tenant', true), '') OR p_tenant IS NULL THEN
        RAISE EXCEPTION 'a partition can be made for the tenant of the transaction only';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('documents.ensure_tenant_partition'));
    INSERT INTO documents.embedding_space (model, dimensions) VALUES (p_model, p_dimensions) ON CONFLICT DO NOTHING;
    SELECT * INTO STRICT space FROM documents.embedding_space;
    IF (space.model, space.dimensions) IS DISTINCT FROM (p_model, p_dimensions) THEN
        RAISE EXCEPTION 'the stored vectors are of % with % dimensions, not of % with %: documents must be ingested anew',
            space.model, space.dimensions, p_model, p_dimensions;
    END IF;
    IF to_regclass(format('documents.%I', partition)) IS NOT NULL THEN
        RETURN;
    END IF;
    -- Made beside and then attached: unlike CREATE … PARTITION OF this does not stop readers of other tenants.
    EXECUTE format('CREATE TABLE documents.%I (LIKE documents.chunk INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
        CHECK (tenant = %L), CHECK (public.vector_dims(embedding) = %s))', partition, p_tenant, space.dimensions);
    -- Nobody has rights on the partition itself; without a policy, whoever gets some by mistake sees nothing.
    EXECUTE format('ALTER TABLE documents.%I ENABLE ROW LEVEL SECURITY', partition);
    EXECUTE format('ALTER TABLE documents.%I FORCE ROW LEVEL SECURITY', partition);
    EXECUTE format('CREATE INDEX ON documents.%I USING hnsw ((embedding::public.vector(%s)) public.vector_cosine_ops)',
        partition, space.dimensions);
    EXECUTE format('ALTER TABLE documents.chunk ATTACH PARTITION documents.%I FOR VALUES IN (%L)',
        partition, p_tenant);
END
$$;

REVOKE ALL ON FUNCTION documents.ensure_tenant_partition(text, text, int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION documents.ensure_tenant_partition(text, text, int) TO gateway_ingest;

GRANT USAGE ON SCHEMA documents TO gateway, gateway_ingest;
GRANT SELECT ON documents.data_key, documents.chunk TO gateway;
GRANT SELECT, INSERT, DELETE ON documents.data_key TO gateway_ingest;
GRANT SELECT, INSERT, UPDATE, DELETE ON documents.document, documents.chunk TO gateway_ingest;
