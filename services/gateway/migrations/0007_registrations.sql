-- Which registration of each workload was the last one accepted: an older one, although signed, comes too late.

CREATE SCHEMA registrations;

CREATE TABLE registrations.mark (
    workload text PRIMARY KEY,
    serial bigint NOT NULL CHECK (serial >= 0),
    digest text NOT NULL,
    accepted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Whether a registration may be loaded: it is the one last accepted, or has a higher serial. Serial 0 is that of
-- documents without one: among themselves they cannot be told older from newer.
CREATE FUNCTION registrations.advance(p_workload text, p_serial bigint, p_digest text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO registrations.mark AS m (workload, serial, digest) VALUES (p_workload, p_serial, p_digest)
    ON CONFLICT (workload) DO UPDATE
    SET serial = excluded.serial, digest = excluded.digest, accepted_at = clock_timestamp()
    WHERE m.serial < excluded.serial OR (m.serial = 0 AND excluded.serial = 0 AND m.digest <> excluded.digest);
    RETURN EXISTS (
        SELECT FROM registrations.mark AS m
        WHERE m.workload = p_workload AND m.serial = p_serial AND m.digest = p_digest
    );
END
$$;

REVOKE ALL ON FUNCTION registrations.advance(text, bigint, text) FROM PUBLIC;
GRANT USAGE ON SCHEMA registrations TO gateway, gateway_ingest, gateway_auditor;
GRANT EXECUTE ON FUNCTION registrations.advance(text, bigint, text) TO gateway, gateway_ingest;
GRANT SELECT ON registrations.mark TO gateway_auditor;
