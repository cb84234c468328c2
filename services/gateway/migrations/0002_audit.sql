-- The audit chain: append only for the writers, readable for the auditor.
-- Nobody holds UPDATE, DELETE or TRUNCATE. The owner could still change rows, which is why heads signed by
-- a key that the database has no part in lie in the log archive: `gateway audit verify` compares the two.

CREATE SCHEMA audit;

-- Who writes which chain. For the writers to find chains that lost theirs; the verifier does not rely on it.
CREATE TABLE audit.chain (
    chain uuid PRIMARY KEY,
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    closed_by uuid -- itself when its writer ended in order, else the chain whose writer took it over
);
CREATE INDEX chain_open ON audit.chain (opened_at) WHERE closed_by IS NULL;

-- `record` is the canonical JSON text that is hashed. Every other column repeats a part of it for searching,
-- and the verifier compares each with the text.
CREATE TABLE audit.record (
    chain uuid NOT NULL,
    seq bigint NOT NULL CHECK (seq >= 0),
    kind text NOT NULL,
    request_id text NOT NULL,
    record text NOT NULL,
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (chain, seq)
);
CREATE INDEX record_request ON audit.record (request_id) WHERE request_id <> '';

CREATE VIEW audit.entry WITH (security_invoker = true) AS
SELECT
    chain,
    seq,
    (record::json ->> 'ts')::timestamptz AS written_at,
    kind,
    request_id,
    record::json -> 'body' AS body -- json, not jsonb: it takes any escape a caller's text may need
FROM audit.record;

-- One advisory lock a chain: whoever's session holds it is the chain's only writer.
CREATE FUNCTION audit.lock_key(p_chain uuid) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN ('x' || left(replace(p_chain::text, '-', ''), 16))::bit(64)::bigint;

-- Closing is the only change to a row of audit.chain; it takes the chain's lock, so a living chain is safe.
CREATE FUNCTION audit.close_chain(p_chain uuid, p_closed_by uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_locks
        WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted AND objsubid = 1
            AND ((classid::bigint << 32) | objid::bigint) = audit.lock_key(p_chain)
    ) THEN
        RAISE EXCEPTION 'chain % is not locked by this session', p_chain;
    END IF;
    UPDATE audit.chain SET closed_by = p_closed_by WHERE chain = p_chain AND closed_by IS NULL;
END
$$;

REVOKE ALL ON FUNCTION audit.close_chain(uuid, uuid) FROM PUBLIC;
REVOKE ALL ON FUNCTION audit.lock_key(uuid) FROM PUBLIC;

GRANT USAGE ON SCHEMA audit TO gateway, gateway_ingest, gateway_auditor;
GRANT SELECT, INSERT ON audit.record TO gateway, gateway_ingest;
GRANT SELECT ON audit.chain TO gateway, gateway_ingest;
GRANT INSERT (chain) ON audit.chain TO gateway, gateway_ingest;
GRANT EXECUTE ON FUNCTION audit.close_chain(uuid, uuid) TO gateway, gateway_ingest;
GRANT EXECUTE ON FUNCTION audit.lock_key(uuid) TO gateway, gateway_ingest;
GRANT SELECT ON audit.record, audit.chain, audit.entry TO gateway_auditor;
