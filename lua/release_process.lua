#!lua flags=allow-oom
-- Give up a process hold. Other holds of the session stay.
--
-- KEYS[1]  partition    {redisstore}:
-- KEYS[2]  active set   {redisstore}:active
-- ARGV[1]  session_key  whose hold
-- ARGV[2]  process_id   which hold
-- ARGV[3]  token        names the call, for a repetition; '': none
-- ARGV[4]  keep_ms      how long the token is known
-- Returns  '1': given up; '0': there was none, or it had lapsed
-- Errors   CORRUPT
-- Example  redis-cli --eval lua/release_process.lua '{redisstore}:' '{redisstore}:active' , agent:main:telegram:dm:42 by-hand

local prefix, active_index = KEYS[1], KEYS[2]
local session_key, process_id = ARGV[1], ARGV[2]
local token, keep_ms = ARGV[3] or '', ARGV[4]

-- shared: clock
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- end shared
-- shared: whole
local function whole(number)
  return string.format('%.0f', number)
end
-- end shared
-- shared: replay
-- A call that is repeated with its token gets its first answer again and changes nothing.
local op_key = prefix .. 'op:' .. token
local earlier = token ~= '' and redis.call('GET', op_key)
local function remember(answer)
  if token ~= '' then
    redis.call('SET', op_key, answer, 'PX', keep_ms)
  end
  return answer
end
-- end shared
if earlier then
  return earlier
end
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

local holds_key = prefix .. 'holds:' .. session_key
local fault = damaged_index(active_index, holds_key)
if fault then
  return fault
end
-- So that `settle_holds` is refused them here, if at all.
redis.call('ZRANGEBYSCORE', active_index, '+inf', '+inf')
redis.call('ZREVRANGE', active_index, 0, 0)
local lapses_at = tonumber(redis.call('ZSCORE', holds_key, process_id) or 0)
redis.call('ZREM', holds_key, process_id)
settle_holds(session_key)
return remember(lapses_at > now and '1' or '0')
