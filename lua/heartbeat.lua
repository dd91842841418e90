#!lua flags=allow-oom
-- A replica says that it lives, and what it is at. A name belongs to the process that took it last; an older
-- one that still beats is told so, and nothing is written. What has been dead for a day is dropped. Also
-- when memory is full.
--
-- KEYS[1]  root         {redisstore}:
-- KEYS[2]  index        {redisstore}:replicas
-- ARGV[1]  replica      its name
-- ARGV[2]  incarnation  tells this process from others that have had the name
-- ARGV[3]  started_at   ms since 1970, as the first beat was answered; '': this is the first
-- ARGV[4]  ttl_ms       counts as dead after so long without a beat, 1 to 3600000
-- ARGV[5]  ...          field, value ...: what it tells of itself
-- Returns  'alive' or 'replaced', then started_at (ms)
-- Errors   BADARG, CORRUPT (the index, or what the replica told before)
-- Example  redis-cli --eval lua/heartbeat.lua '{redisstore}:' '{redisstore}:replicas' , by-hand 0 '' 15000 state up

local prefix, replicas_index = KEYS[1], KEYS[2]
local replica, incarnation, started_at, ttl_ms = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local DAY_MS = 86400000

-- shared: clock
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- end shared
-- shared: whole
local function whole(number)
  return string.format('%.0f', number)
end
-- end shared
-- shared: is_whole
local function is_whole(text)
  return text and #text <= 16 and string.find(text, '^%d+$') ~= nil
end
-- end shared
-- shared: indexes
-- Scripts don't roll back: a key of a wrong type ends the script before its first write.
local function damaged_index(...)
  for _, index in ipairs({ ... }) do
    local kind, name = redis.call('TYPE', index).ok, string.sub(index, #prefix + 1)
    local wanted = name == 'events' and 'stream' or string.sub(name, 1, 12) == 'session_ids:' and 'hash' or 'zset'
    if kind ~= wanted and kind ~= 'none' then
      return redis.error_reply('CORRUPT ' .. index .. ' is damaged: it is a ' .. kind .. ', not a ' .. (wanted == 'zset' and 'sorted set' or wanted))
    end
  end
end
-- end shared
-- shared: heartbeats
-- How long after a beat a replica counts as alive at most. What lapses more than five minutes later shows that the clock was set back.
local LONGEST_TTL_MS, FURTHEST_TTL_MS = 3600000, 3900000
-- end shared

if not ttl_ms or ttl_ms < 1 or ttl_ms > LONGEST_TTL_MS then
  return redis.error_reply('BADARG ttl_ms must be 1 to 3600000')
end
local fault = damaged_index(replicas_index)
if fault then
  return fault
end
local replica_key = prefix .. 'replica:' .. replica
local known = redis.pcall('HMGET', replica_key, 'incarnation', 'started_at')
if known.err then
  return string.find(tostring(known.err), '^WRONGTYPE') and redis.error_reply('CORRUPT ' .. replica_key .. ' is damaged: it is not a hash') or known
end

local known_start = is_whole(known[2]) and tonumber(known[2]) or 0
if known[1] == incarnation then
  started_at = known_start
elseif known[1] and started_at and started_at <= known_start then
  return { 'replaced', whole(started_at) }
else
  -- Later than the one before, also where the clock was set back since.
  started_at = started_at or math.max(now, known_start + 1)
end
redis.call('HSET', replica_key, 'incarnation', incarnation, 'started_at', whole(started_at), 'beat_at', whole(now),
  unpack(ARGV, 5))
redis.call('ZADD', replicas_index, whole(now + ttl_ms), replica)
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', replicas_index, '-inf', whole(now - DAY_MS), 'LIMIT', 0, 100)) do
  redis.call('ZREM', replicas_index, dead)
  redis.call('UNLINK', prefix .. 'replica:' .. dead)
end
-- Whether one that lapses too late still lives is not known: if it does, it beats again.
local furthest = whole(now + FURTHEST_TTL_MS)
for _, unsure in ipairs(redis.call('ZRANGEBYSCORE', replicas_index, '(' .. furthest, '+inf', 'LIMIT', 0, 100)) do
  redis.call('ZADD', replicas_index, whole(now), unsure)
end
return { 'alive', whole(started_at) }
