-- A transaction that does not say for whom it works is an error, not an empty answer: a forgotten scope would
-- otherwise look like a tenant without documents.

CREATE FUNCTION documents.said(p_setting text) RETURNS text
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
AS $$
DECLARE
    -- '' is what a setting falls back to after a transaction that had set it.
    said text := NULLIF(current_setting(p_setting, true), '');
BEGIN
    IF said IS NULL THEN
        RAISE EXCEPTION '% is not set: a transaction must say for whom it works', p_setting
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN said;
END
$$;

REVOKE ALL ON FUNCTION documents.said(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION documents.said(text) TO gateway, gateway_ingest;

DO $$
DECLARE
    own text := $own$ tenant = documents.said('app.tenant') AND workload = documents.said('app.workload') $own$;
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['data_key', 'document', 'chunk'] LOOP
        EXECUTE format('ALTER POLICY own ON documents.%I USING (%s) WITH CHECK (%s)', name, own, own);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['data_key', 'chunk'] LOOP
        EXECUTE format('ALTER POLICY own_read ON documents.%I USING (%s)', name, own);
    END LOOP;
END
$$;
