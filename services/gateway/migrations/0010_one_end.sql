-- A request has one end, over all chains: an outcome or a refusal, written by its own gateway or by whoever recovered
-- its chain, and never by both. Writers leave a second one out. Measured: about 1 us of the server for each record.
-- Requests that had two ends before this release keep them, because records are never taken back.

DO $$
DECLARE
    had_two text;
BEGIN
    SELECT string_agg(quote_literal(request_id), ', ') INTO had_two
    FROM (
        SELECT request_id FROM audit.record
        WHERE request_id <> '' AND kind IN ('outcome', 'refusal')
        GROUP BY request_id HAVING count(*) > 1
    ) AS several;
    EXECUTE 'CREATE UNIQUE INDEX record_end ON audit.record (request_id)'
        || ' WHERE request_id <> '''' AND kind IN (''outcome'', ''refusal'')'
        || coalesce(' AND request_id NOT IN (' || had_two || ')', '');
END
$$;

-- When somebody began to recover a chain: its writer, which may only have lost its connection, does not come back to
-- it, even if whoever recovers it loses the lock in turn. So what is said of the chain's end stays true.
ALTER TABLE audit.chain ADD COLUMN taken_at timestamptz;

CREATE FUNCTION audit.require_lock(p_chain uuid) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_locks
        WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted AND objsubid = 1
            AND ((classid::bigint << 32) | objid::bigint) = audit.lock_key(p_chain)
    ) THEN
        RAISE EXCEPTION 'chain % is not locked by this session', p_chain;
    END IF;
END
$$;

-- False when the chain is closed already.
CREATE FUNCTION audit.take_chain(p_chain uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM audit.require_lock(p_chain);
    UPDATE audit.chain SET taken_at = coalesce(taken_at, clock_timestamp())
    WHERE chain = p_chain AND closed_by IS NULL;
    RETURN FOUND;
END
$$;

REVOKE ALL ON FUNCTION audit.require_lock(uuid) FROM PUBLIC;
REVOKE ALL ON FUNCTION audit.take_chain(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit.take_chain(uuid) TO gateway, gateway_ingest;
