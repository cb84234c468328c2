-- The ledger: money set aside before a model is called and settled to what was really used.
-- The gateway reaches it through three functions only, so no statement of its can raise a budget or forget a debt.

CREATE SCHEMA ledger;

-- One row a scope and UTC day. The limit is not stored: it is part of the signed registration and comes with
-- every reservation.
CREATE TABLE ledger.budget (
    scope text NOT NULL,
    period_start date NOT NULL,
    spent numeric(18, 9) NOT NULL DEFAULT 0,
    reserved numeric(18, 9) NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    PRIMARY KEY (scope, period_start)
) WITH (fillfactor = 50); -- room for new versions of hot rows on their own page

-- `expired`: nobody settled it in time (a crash). Its whole sum counts as spent, because the model may have
-- been called and billed: an unknown cost is never free.
CREATE TABLE ledger.reservation (
    id uuid PRIMARY KEY,
    request_id text NOT NULL,
    usd numeric(18, 9) NOT NULL CHECK (usd >= 0),
    settled_usd numeric(18, 9) CHECK (settled_usd >= 0),
    scopes text[] NOT NULL,
    period_start date NOT NULL,
    state text NOT NULL DEFAULT 'reserved' CHECK (state IN ('reserved', 'settled', 'expired')),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 70);
-- BRIN: rows arrive in the order of time, and it does not stand in the way of in-page (HOT) updates.
CREATE INDEX reservation_created_at ON ledger.reservation USING brin (created_at) WITH (pages_per_range = 16);

-- Reserves many requests at once: one round trip, one update a scope, however many requests share it.
-- Request i asks p_usd[i] of two scopes, p_scopes[p_user[i]] within p_user_limit[i] and p_scopes[p_workload[i]]
-- within p_workload_limit[i]: both or neither. p_scopes is sorted by the caller and locked in that order, here
-- and in settle, so two gateways cannot deadlock. Answers 0 (reserved), 1 (user's budget) or 2 (workload's).
CREATE FUNCTION ledger.reserve(
    p_scopes text[],
    p_ids uuid[],
    p_request_ids text[],
    p_usd numeric[],
    p_user int[],
    p_user_limit numeric[],
    p_workload int[],
    p_workload_limit numeric[]
) RETURNS smallint[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
-- One plan, by index, made before there are statistics and right when the tables are large. Planning anew for
-- every call, which PostgreSQL prefers for arrays, would take longer than the work.
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    today date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
    committed numeric[]; -- spent + reserved, a scope
    asked numeric[] := array_fill(0::numeric, ARRAY[cardinality(p_scopes)]); -- admitted in this call, a scope
    verdicts smallint[] := '{}';
    usd numeric;
    u int;
    w int;
BEGIN
    -- No flush to disk for this commit: the request's audit intent is committed after it with a flush, and a
    -- flush covers all write-ahead log before it. No intent, no model call, nothing to pay for.
    PERFORM set_config('synchronous_commit', 'off', true);
    IF (SELECT count(*) FROM ledger.budget WHERE period_start = today AND scope = ANY (p_scopes))
        < cardinality(p_scopes)
    THEN
        INSERT INTO ledger.budget (scope, period_start)
        SELECT scope, today FROM unnest(p_scopes) AS scope
        ON CONFLICT DO NOTHING;
    END IF;
    SELECT array_agg(locked.total ORDER BY locked.scope COLLATE "C") INTO committed
    FROM (
        SELECT b.scope, b.spent + b.reserved AS total
        FROM ledger.budget AS b
        WHERE b.period_start = today AND b.scope = ANY (p_scopes)
        ORDER BY b.scope COLLATE "C"
        FOR UPDATE
    ) AS locked;
    FOR i IN 1..cardinality(p_ids) LOOP
        usd := p_usd[i];
        u := p_user[i];
        w := p_workload[i];
        IF usd < 0 THEN
            RAISE EXCEPTION 'a reservation must not be negative (got %)', usd;
        ELSIF committed[u] + usd > p_user_limit[i] THEN
            verdicts[i] := 1;
        ELSIF committed[w] + usd > p_workload_limit[i] THEN
            verdicts[i] := 2;
        ELSE
            verdicts[i] := 0;
            committed[u] := committed[u] + usd;
            committed[w] := committed[w] + usd;
            asked[u] := asked[u] + usd;
            asked[w] := asked[w] + usd;
        END IF;
    END LOOP;
    UPDATE ledger.budget AS b SET reserved = b.reserved + add.usd
    FROM unnest(p_scopes, asked) AS add (scope, usd)
    WHERE b.scope = add.scope AND b.period_start = today AND add.usd > 0;
    INSERT INTO ledger.reservation (id, request_id, usd, scopes, period_start)
    SELECT r.id, r.request_id, r.usd, ARRAY[p_scopes[r.u], p_scopes[r.w]], today
    FROM unnest(p_ids, p_request_ids, p_usd, p_user, p_workload, verdicts) AS r (id, request_id, usd, u, w, verdict)
    WHERE r.verdict = 0;
    RETURN verdicts;
END
$$;

-- Ends reservations: `p_state` is what they become. Those that have ended already are left as they are, so
-- settling twice, or after expiry, changes nothing. Returns how many ended now.
CREATE FUNCTION ledger.finish(p_ids uuid[], p_usd numeric[], p_state text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET plan_cache_mode = force_generic_plan -- as in reserve
AS $$
DECLARE
    finished bigint := 0;
    change record;
BEGIN
    -- Losing the last moments of settling in a crash leaves reservations open, which expire as spent.
    PERFORM set_config('synchronous_commit', 'off', true);
    FOR change IN
        WITH ended AS (
            UPDATE ledger.reservation AS r SET state = p_state, settled_usd = given.usd
            FROM unnest(p_ids, p_usd) AS given (id, usd)
            WHERE r.id = given.id AND r.state = 'reserved'
            RETURNING r.usd AS held, given.usd AS used, r.scopes, r.period_start
        )
        SELECT scope, e.period_start, sum(e.held) AS held, sum(e.used) AS used, (SELECT count(*) FROM ended) AS ended
        FROM ended AS e, unnest(e.scopes) AS scope
        GROUP BY scope, e.period_start
        ORDER BY scope COLLATE "C", e.period_start -- the order in which reserve locks, too
    LOOP
        UPDATE ledger.budget AS b SET reserved = b.reserved - change.held, spent = b.spent + change.used
        WHERE b.scope = change.scope AND b.period_start = change.period_start;
        finished := change.ended;
    END LOOP;
    RETURN finished;
END
$$;

CREATE FUNCTION ledger.settle(p_ids uuid[], p_usd numeric[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ledger.finish(p_ids, p_usd, 'settled');
END
$$;

-- Reservations nobody settled within p_age count as spent in full. Rows past keeping are removed.
CREATE FUNCTION ledger.sweep(p_age interval) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ids uuid[];
    sums numeric[];
BEGIN
    IF p_age < interval '1 minute' THEN
        RAISE EXCEPTION 'p_age must be at least a minute: a younger reservation may still be in use';
    END IF;
    DELETE FROM ledger.reservation WHERE created_at < clock_timestamp() - interval '35 days' AND state <> 'reserved';
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

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ledger FROM PUBLIC;
GRANT USAGE ON SCHEMA ledger TO gateway, gateway_auditor;
GRANT EXECUTE ON FUNCTION ledger.reserve(text[], uuid[], text[], numeric[], int[], numeric[], int[], numeric[]) TO gateway;
GRANT EXECUTE ON FUNCTION ledger.settle(uuid[], numeric[]) TO gateway;
GRANT EXECUTE ON FUNCTION ledger.sweep(interval) TO gateway;
GRANT SELECT ON ledger.budget, ledger.reservation TO gateway_auditor;
