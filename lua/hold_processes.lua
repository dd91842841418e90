#!lua flags=allow-oom
-- Take process holds, or renew them: each keeps its session from prune and from policy resets
-- until it lapses. A hold that has lapsed is taken anew. Also when memory is full: a hold that lapsed
-- then would hand live work to the prune that makes room.
--
-- KEYS[1]  partition    {redisstore}:
-- KEYS[2]  active set   {redisstore}:active
-- ARGV[1]  ttl_ms       how long the holds last, at most 3600000
-- ARGV[2]  ...          pairs of session key and process id
-- Returns  for each pair: when the hold lapses (ms), 'unknown': no such session, or 'damaged': the key of its holds is of another type
-- Errors   BADARG, CORRUPT (the active set)
-- Example  redis-cli --eval lua/hold_processes.lua '{redisstore}:' '{redisstore}:active' , 120000 agent:main:telegram:dm:42 by-hand

local prefix, active_index = KEYS[1], KEYS[2]
local ttl_ms = tonumber(ARGV[1])

-- shared: clock
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- end shared
-- shared: whole
local function whole(number)
  return string.format('%.0f', number)
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
-- shared: hold_times
-- Drop the holds that have lapsed, and score the session in the active set by the last that remains. A hold
-- that lapses later than any can counts from now, for the clock was set back; cut so, it is as long as the longest.
local LONGEST_HOLD_MS = 3600000
local function settle_holds(session_key)
  local holds_key = prefix .. 'holds:' .. session_key
  redis.call('ZREMRANGEBYSCORE', holds_key, '-inf', whole(now))
  local furthest = whole(now + LONGEST_HOLD_MS)
  for _, process_id in ipairs(redis.call('ZRANGEBYSCORE', holds_key, '(' .. furthest, '+inf')) do
    redis.call('ZADD', holds_key, furthest, process_id)
  end
  local last = redis.call('ZREVRANGE', holds_key, 0, 0, 'WITHSCORES')
  if last[2] then
    redis.call('ZADD', active_index, last[2], session_key)
  else
    redis.call('ZREM', active_index, session_key)
  end
end
-- end shared

if not ttl_ms or ttl_ms < 1 or ttl_ms > LONGEST_HOLD_MS then
  return redis.error_reply('BADARG ttl_ms must be 1 to 3600000')
end
local fault = damaged_index(active_index)
if fault then
  return fault
end
-- So that `settle_holds` is refused them here, if at all.
redis.call('ZRANGEBYSCORE', active_index, '+inf', '+inf')
redis.call('ZREVRANGE', active_index, 0, 0)
local lapses_at = whole(now + ttl_ms)
local answers = {}
for i = 2, #ARGV, 2 do
  local session_key = ARGV[i]
  local holds_key = prefix .. 'holds:' .. session_key
  local answer = lapses_at
  if redis.call('EXISTS', prefix .. 'entry:' .. session_key) == 0 then
    answer = 'unknown'
  elseif damaged_index(holds_key) then
    answer = 'damaged'
  else
    redis.call('ZADD', holds_key, lapses_at, ARGV[i + 1])
    settle_holds(session_key)
  end
  answers[#answers + 1] = answer
end
return answers
