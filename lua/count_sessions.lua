#!lua flags=no-writes
-- How many sessions there are, how many are held by a live process, in a turn, or due by their policy.
--
-- KEYS[1]  partition   {redisstore}:
-- KEYS[2]  index       {redisstore}:updated_at
-- Returns  'sessions', number, 'active', number, 'lapsed', number (held by processes that are gone), 'running', number (in a turn), 'expiring', number (with a policy deadline), 'expired', number (past it), 'oldest', ms or '', 'newest', ms or ''
-- Errors   CORRUPT (an index)
-- Example  redis-cli --eval lua/count_sessions.lua '{redisstore}:' '{redisstore}:updated_at'

local prefix, updated_at_index = KEYS[1], KEYS[2]
local active_index, expiry_index, turns_index = prefix .. 'active', prefix .. 'expiry', prefix .. 'turns'

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

local fault = damaged_index(updated_at_index, active_index, expiry_index, turns_index)
if fault then
  return fault
end
local oldest = redis.call('ZRANGE', updated_at_index, 0, 0, 'WITHSCORES')
local newest = redis.call('ZREVRANGE', updated_at_index, 0, 0, 'WITHSCORES')
return {
  'sessions', whole(redis.call('ZCARD', updated_at_index)),
  'active', whole(redis.call('ZCOUNT', active_index, '(' .. whole(now), '+inf')),
  'lapsed', whole(redis.call('ZCOUNT', active_index, '-inf', whole(now))),
  'running', whole(redis.call('ZCOUNT', turns_index, '(' .. whole(now), '+inf')),
  'expiring', whole(redis.call('ZCARD', expiry_index)),
  'expired', whole(redis.call('ZCOUNT', expiry_index, '-inf', whole(now))),
  'oldest', oldest[2] or '', 'newest', newest[2] or '',
}
