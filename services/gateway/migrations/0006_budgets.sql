-- Budgets a month beside those a day, of tenants beside users and workloads; and what was spent by whom on which model.

-- A scope that starts with 'month:' has one row a month, at its first day; every other scope one row a UTC day.
CREATE FUNCTION ledger.period_of(p_scope text, p_day date) RETURNS date
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
RETURN CASE WHEN starts_with(p_scope, 'month:') THEN date_trunc('month', p_day::timestamp)::date ELSE p_day END;

ALTER TABLE ledger.reservation
    ADD COLUMN workload text NOT NULL DEFAULT '',
    ADD COLUMN tenant text NOT NULL DEFAULT '',
    ADD COLUMN person text NOT NULL DEFAULT '', -- issuer|subject
    ADD COLUMN model text NOT NULL DEFAULT '';

-- Sums of reservations that are past keeping.
CREATE TABLE ledger.spend (
    day date NOT NULL,
    workload text NOT NULL,
    tenant text NOT NULL,
    person text NOT NULL,
    model text NOT NULL,
    requests bigint NOT NULL,
    usd numeric(18, 9) NOT NULL,
    PRIMARY KEY (day, workload, tenant, person, model)
);

-- As ledger.reserve, for any number of budgets a request: request i asks p_usd[i] of each scope
-- p_scopes[p_scope_of[i][k]] within p_limits[i][k], of all or of none; 0 for "no such budget". p_scopes is sorted by
-- code point and locked in that order. p_who[i] is workload, tenant, person, model. Answers 0 (reserved) or the first
-- k that does not fit.
CREATE FUNCTION ledger.reserve_within(
    p_scopes text[],
    p_ids uuid[],
    p_request_ids text[],
    p_usd numeric[],
    p_scope_of int[],
    p_limits numeric[],
    p_who text[]
) RETURNS smallint[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan -- as in reserve
AS $$
DECLARE
    today date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    periods date[];
    committed numeric[]; -- spent + reserved, a scope
    asked numeric[] := array_fill(0::numeric, ARRAY[cardinality(p_scopes)]); -- admitted in this call, a scope
    verdicts smallint[] := '{}';
    verdict smallint;
    usd numeric;
    s int;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true); -- as in reserve
    SELECT array_agg(ledger.period_of(scope, today) ORDER BY number) INTO periods
    FROM unnest(p_scopes) WITH ORDINALITY AS one (scope, number);
    IF (
        SELECT count(*) FROM unnest(p_scopes, periods) AS one (scope, period)
        JOIN ledger.budget AS b ON b.scope = one.scope AND b.period_start = one.period
    ) < cardinality(p_scopes)
    THEN
        INSERT INTO ledger.budget (scope, period_start) SELECT * FROM unnest(p_scopes, periods) ON CONFLICT DO NOTHING;
    END IF;
    SELECT array_agg(locked.total ORDER BY locked.scope COLLATE "C") INTO committed
    FROM (
        SELECT b.scope, b.spent + b.reserved AS total
        FROM unnest(p_scopes, periods) AS one (scope, period)
        JOIN ledger.budget AS b ON b.scope = one.scope AND b.period_start = one.period
        ORDER BY b.scope COLLATE "C"
        FOR UPDATE OF b
    ) AS locked;
    FOR i IN 1..cardinality(p_ids) LOOP
        usd := p_usd[i];
        IF usd < 0 THEN
            RAISE EXCEPTION 'a reservation must not be negative (got %)', usd;
        END IF;
        verdict := 0;
        FOR k IN 1..array_length(p_scope_of, 2) LOOP
            s := p_scope_of[i][k];
            IF s > 0 AND (committed[s] + usd <= p_limits[i][k]) IS NOT TRUE THEN
                verdict := k;
                EXIT;
            END IF;
        END LOOP;
        verdicts[i] := verdict;
        CONTINUE WHEN verdict > 0;
        FOR k IN 1..array_length(p_scope_of, 2) LOOP
            s := p_scope_of[i][k];
            IF s > 0 THEN
                committed[s] := committed[s] + usd;
                asked[s] := asked[s] + usd;
            END IF;
        END LOOP;
    END LOOP;
    UPDATE ledger.budget AS b SET reserved = b.reserved + add.usd
    FROM unnest(p_scopes, periods, asked) AS add (scope, period, usd)
    WHERE b.scope = add.scope AND b.period_start = add.period AND add.usd > 0;
    INSERT INTO ledger.reservation
        (id, request_id, usd, scopes, period_start, workload, tenant, person, model)
    SELECT
        p_ids[i], p_request_ids[i], p_usd[i],
        ARRAY(
            SELECT p_scopes[p_scope_of[i][k]] FROM generate_series(1, array_length(p_scope_of, 2)) AS k
            WHERE p_scope_of[i][k] > 0
        ),
        today, p_who[i][1], p_who[i][2], p_who[i][3], p_who[i][4]
    FROM generate_series(1, cardinality(p_ids)) AS i
    WHERE verdicts[i] = 0;
    RETURN verdicts;
END
$$;

-- As before, with each scope's own period.
CREATE OR REPLACE FUNCTION ledger.finish(p_ids uuid[], p_usd numeric[], p_state text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    finished bigint := 0;
    change record;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    FOR change IN
        WITH ended AS (
            UPDATE ledger.reservation AS r SET state = p_state, settled_usd = given.usd
            FROM unnest(p_ids, p_usd) AS given (id, usd)
            WHERE r.id = given.id AND r.state = 'reserved'
            RETURNING r.usd AS held, given.usd AS used, r.scopes, r.period_start AS day
        )
        SELECT
            scope, ledger.period_of(scope, e.day) AS period,
            sum(e.held) AS held, sum(e.used) AS used, (SELECT count(*) FROM ended) AS ended
        FROM ended AS e, unnest(e.scopes) AS scope
        GROUP BY scope, ledger.period_of(scope, e.day)
        ORDER BY scope COLLATE "C", ledger.period_of(scope, e.day) -- the order in which reserve locks, too
    LOOP
        UPDATE ledger.budget AS b SET reserved = b.reserved - change.held, spent = b.spent + change.used
        WHERE b.scope = change.scope AND b.period_start = change.period;
        finished := change.ended;
    END LOOP;
    RETURN finished;
END
$$;

-- As before; rows past keeping leave their sums behind.
CREATE OR REPLACE FUNCTION ledger.sweep(p_age interval) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ids uuid[];
    sums numeric[];
BEGIN
    IF p_age < interval '1 minute' THEN
        RAISE EXCEPTION 'p_age must be at least a minute: a younger reservation may still be in use';
    END IF;
    WITH old AS (
        DELETE FROM ledger.reservation AS r
        WHERE r.created_at < clock_timestamp() - interval '35 days' AND r.state <> 'reserved'
        RETURNING r.*
    )
    INSERT INTO ledger.spend AS s (day, workload, tenant, person, model, requests, usd)
    SELECT period_start, workload, tenant, person, model, count(*), sum(settled_usd) FROM old
    GROUP BY period_start, workload, tenant, person, model
    ORDER BY period_start, workload, tenant, person, model -- one order for all gateways
    ON CONFLICT (day, workload, tenant, person, model)
    DO UPDATE SET requests = s.requests + excluded.requests, usd = s.usd + excluded.usd;
    SELECT array_agg(open.id), array_agg(open.usd) INTO ids, sums
    FROM (
        SELECT r.id, r.usd
        FROM ledger.reservation AS r
        WHERE r.created_at < clock_timestamp() - p_age AND r.state = 'reserved'
        ORDER BY r.id
        LIMIT 10000
        FOR UPDATE SKIP LOCKED -- another gateway is at it
    ) AS open;
    RETURN CASE WHEN ids IS NULL THEN 0 ELSE ledger.finish(ids, sums, 'expired') END;
END
$$;

-- What was spent and what is still set aside from p_from to p_to, both included (UTC), by one of workload, tenant,
-- user and model: the dearest first. A user is the start of a digest: who reads this need not know who it is.
CREATE FUNCTION ledger.spent_by(p_by text, p_from date, p_to date, p_rows int)
RETURNS TABLE (name text, requests bigint, usd numeric, reserved_usd numeric)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_by NOT IN ('workload', 'tenant', 'user', 'model') THEN
        RAISE EXCEPTION 'p_by must be workload, tenant, user or model (got %)', p_by;
    END IF;
    RETURN QUERY
    WITH every AS (
        SELECT s.workload, s.tenant, s.person, s.model, s.requests AS n, s.usd AS used, 0::numeric AS held
        FROM ledger.spend AS s WHERE s.day BETWEEN p_from AND p_to
        UNION ALL
        SELECT r.workload, r.tenant, r.person, r.model, 1, coalesce(r.settled_usd, 0),
            CASE WHEN r.state = 'reserved' THEN r.usd ELSE 0 END
        FROM ledger.reservation AS r
        WHERE r.period_start BETWEEN p_from AND p_to
            AND r.created_at >= p_from::timestamp AT TIME ZONE 'UTC' - interval '1 day'
    ), named AS (
        SELECT CASE p_by
            WHEN 'workload' THEN e.workload WHEN 'tenant' THEN e.tenant WHEN 'model' THEN e.model
            ELSE left(encode(sha256(convert_to(e.person, 'UTF8')), 'hex'), 12)
        END AS one, e.n, e.used, e.held
        FROM every AS e
    )
    SELECT m.one, sum(m.n)::bigint, sum(m.used), sum(m.held) FROM named AS m
    GROUP BY m.one ORDER BY sum(m.used) DESC, m.one LIMIT p_rows;
END
$$;

REVOKE ALL ON FUNCTION ledger.period_of(text, date) FROM PUBLIC;
REVOKE ALL ON FUNCTION ledger.reserve_within(text[], uuid[], text[], numeric[], int[], numeric[], text[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION ledger.spent_by(text, date, date, int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.reserve_within(text[], uuid[], text[], numeric[], int[], numeric[], text[]) TO gateway;
GRANT EXECUTE ON FUNCTION ledger.spent_by(text, date, date, int) TO gateway, gateway_auditor;
GRANT SELECT ON ledger.spend TO gateway_auditor;
