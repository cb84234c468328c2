-- Limits of one request in each of its scopes (the caller in one role; its tenant and workload where these have
-- limits of their own): requests, input tokens and output tokens a minute, and requests at once. All or nothing.
-- Each rate is a leaky bucket: `used` leaks at limit/minute and must not rise above the limit.
-- The server's clock decides, so gateways need not agree on the time.
--
-- KEYS: two a scope: a hash: used_<rate>, limit_<rate>, at (ms); a sorted set of leases by the ms they expire at
-- acquire: ARGV = 'acquire', lease, lease_ms, input and output tokens,
--          then for each scope: concurrent_max and the limit of each rate
--          → {over, scope, retry_ms, then for each rate: the tightest scope, what remains there, ms until it is full}
--          over: 0 none, 1..3 a rate, 4 concurrency; retry_ms: until it may fit, -1: never
-- renew:   ARGV = 'renew', lease, lease_ms → {}: the place is kept for lease_ms more
-- release: ARGV = 'release', lease, the corrections (used − charged) of input and output tokens
--          → {}; when the lease is gone already nothing is corrected

local RATES = {'requests', 'input_tokens', 'output_tokens'}
local MINUTE_MS = 60000

local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local scopes = #KEYS / 2

local function leaked(used, limit, at)
    return math.max(0, used - math.max(0, now - at) * limit / MINUTE_MS)
end

local function read(scope)
    local found = redis.call('HMGET', KEYS[2 * scope - 1], 'at', 'used_requests', 'used_input_tokens', 'used_output_tokens')
    return tonumber(found[1] or now), {tonumber(found[2] or 0), tonumber(found[3] or 0), tonumber(found[4] or 0)}
end

local function write(scope, used, limits)
    local fields = {'at', string.format('%.3f', now)}
    for i, rate in ipairs(RATES) do
        fields[#fields + 1] = 'used_' .. rate
        fields[#fields + 1] = string.format('%.9f', used[i])
        fields[#fields + 1] = 'limit_' .. rate
        fields[#fields + 1] = limits[i]
    end
    redis.call('HSET', KEYS[2 * scope - 1], unpack(fields))
end

local function keep(scope, lease_ms)
    redis.call('ZADD', KEYS[2 * scope], now + lease_ms, ARGV[2])
    redis.call('PEXPIRE', KEYS[2 * scope - 1], lease_ms + MINUTE_MS)
    redis.call('PEXPIRE', KEYS[2 * scope], lease_ms + MINUTE_MS)
end

-- The scope's state with `amounts` added, and the first thing that is over: 0 for none.
local function judge(scope, amounts)
    local from = 6 + 4 * (scope - 1)
    local concurrent_max = tonumber(ARGV[from])
    local at, used = read(scope)
    local limits, over, retry_ms = {}, 0, 0
    redis.call('ZREMRANGEBYSCORE', KEYS[2 * scope], '-inf', now)
    if amounts[1] > 0 and redis.call('ZCARD', KEYS[2 * scope]) >= concurrent_max then
        over, retry_ms = 4, concurrent_max > 0 and 1000 or -1
    end
    for i = 1, 3 do
        local limit = tonumber(ARGV[from + i])
        limits[i] = limit
        used[i] = leaked(used[i], limit, at)
        -- A millionth of slack: `used` is a sum of fractions that leaked.
        local excess = used[i] + amounts[i] - limit - 0.000001
        if over == 0 and excess > 0 and amounts[i] > 0 then
            over, retry_ms = i, amounts[i] > limit and -1 or math.ceil(excess * MINUTE_MS / limit)
        end
    end
    return {used = used, limits = limits}, over, retry_ms
end

-- For each rate the scope in which the least remains.
local function report(answer, states)
    for i = 1, 3 do
        local tightest, least, reset_ms = 1, math.huge, 0
        for scope, state in ipairs(states) do
            local remaining = math.max(0, math.floor(state.limits[i] - state.used[i] + 0.000001))
            if remaining < least then
                tightest, least = scope, remaining
                reset_ms = math.ceil(state.used[i] * MINUTE_MS / state.limits[i])
            end
        end
        answer[#answer + 1] = tightest
        answer[#answer + 1] = least
        answer[#answer + 1] = reset_ms
    end
    return answer
end

local function acquire(lease_ms, amounts)
    if redis.call('ZSCORE', KEYS[2], ARGV[2]) then
        amounts = {0, 0, 0} -- the same call again, after a lost answer
    end
    local states, over, over_scope, retry_ms = {}, 0, 0, 0
    for scope = 1, scopes do
        local state, which, ms = judge(scope, amounts)
        states[scope] = state
        if over == 0 and which > 0 then
            over, over_scope, retry_ms = which, scope, ms
        end
    end
    if over == 0 and amounts[1] > 0 then
        for scope, state in ipairs(states) do
            for i = 1, 3 do
                state.used[i] = state.used[i] + amounts[i]
            end
            write(scope, state.used, state.limits)
            keep(scope, lease_ms)
        end
    end
    return report({over, over_scope, retry_ms}, states)
end

local function release(corrections)
    for scope = 1, scopes do
        if redis.call('ZREM', KEYS[2 * scope], ARGV[2]) == 1 then
            local hash = KEYS[2 * scope - 1]
            local limits = redis.call('HMGET', hash, 'limit_requests', 'limit_input_tokens', 'limit_output_tokens')
            if limits[1] then
                local at, used = read(scope)
                for i = 1, 3 do
                    used[i] = math.max(0, leaked(used[i], tonumber(limits[i]), at) + corrections[i])
                end
                write(scope, used, limits)
            end
        end
    end
    return {}
end

if ARGV[1] == 'acquire' then
    return acquire(tonumber(ARGV[3]), {1, tonumber(ARGV[4]), tonumber(ARGV[5])})
elseif ARGV[1] == 'renew' then
    for scope = 1, scopes do
        keep(scope, tonumber(ARGV[3]))
    end
    return {}
end
return release({0, tonumber(ARGV[3]), tonumber(ARGV[4])})
