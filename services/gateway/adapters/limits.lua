-- Limits of one caller in one role: requests, input tokens and output tokens a minute, and requests at once.
-- Each rate is a leaky bucket: `used` leaks at limit/minute and must not rise above the limit. All or nothing.
-- The server's clock decides, so gateways need not agree on the time.
--
-- KEYS[1] hash: used_<rate>, limit_<rate>, at (ms)     KEYS[2] sorted set of leases by the ms they expire at
-- acquire: ARGV = 'acquire', lease, lease_ms, concurrent_max, then limit and amount for each rate
--          → {0, 0} or {which was over: 1..3 a rate, 4 concurrency, ms until it may fit; -1: never}
-- release: ARGV = 'release', lease, then the correction (used − charged) for each rate
--          → {1, 0} or {0, 0} when the lease is gone already: then nothing is corrected

local RATES = {'requests', 'input_tokens', 'output_tokens'}
local MINUTE_MS = 60000

local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000

local function leaked(used, limit, at)
    return math.max(0, used - math.max(0, now - at) * limit / MINUTE_MS)
end

local function read()
    local found = redis.call('HMGET', KEYS[1], 'at', 'used_requests', 'used_input_tokens', 'used_output_tokens')
    return tonumber(found[1] or now), {tonumber(found[2] or 0), tonumber(found[3] or 0), tonumber(found[4] or 0)}
end

local function write(used, limits)
    local fields = {'at', string.format('%.3f', now)}
    for i, rate in ipairs(RATES) do
        fields[#fields + 1] = 'used_' .. rate
        fields[#fields + 1] = string.format('%.9f', used[i])
        fields[#fields + 1] = 'limit_' .. rate
        fields[#fields + 1] = limits[i]
    end
    redis.call('HSET', KEYS[1], unpack(fields))
end

if ARGV[1] == 'acquire' then
    local lease, lease_ms, concurrent_max = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
    if redis.call('ZSCORE', KEYS[2], lease) then
        return {0, 0} -- the same call again, after a lost answer
    end
    redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
    if redis.call('ZCARD', KEYS[2]) >= concurrent_max then
        return {4, concurrent_max > 0 and 1000 or -1}
    end
    local at, used = read()
    local limits = {}
    for i = 1, 3 do
        local limit, amount = tonumber(ARGV[3 + 2 * i]), tonumber(ARGV[4 + 2 * i])
        limits[i] = limit
        used[i] = leaked(used[i], limit, at) + amount
        -- A millionth of slack: `used` is a sum of fractions that leaked.
        local over = used[i] - limit - 0.000001
        if over > 0 then
            if amount > limit then return {i, -1} end
            return {i, math.ceil(over * MINUTE_MS / limit)}
        end
    end
    write(used, limits)
    redis.call('ZADD', KEYS[2], now + lease_ms, lease)
    redis.call('PEXPIRE', KEYS[1], lease_ms + MINUTE_MS)
    redis.call('PEXPIRE', KEYS[2], lease_ms + MINUTE_MS)
    return {0, 0}
end

if redis.call('ZREM', KEYS[2], ARGV[2]) == 0 then
    return {0, 0}
end
local kept = redis.call('HMGET', KEYS[1], 'limit_requests', 'limit_input_tokens', 'limit_output_tokens')
if kept[1] then
    local at, used = read()
    for i = 1, 3 do
        used[i] = math.max(0, leaked(used[i], tonumber(kept[i]), at) + tonumber(ARGV[2 + i]))
    end
    write(used, kept)
end
return {1, 0}
