#!lua flags=no-writes
-- The live process holds of a session.
--
-- KEYS[1]  holds    {redisstore}:holds:<session key>
-- Returns  process id, when it lapses (ms), process id, ...
-- Errors   CORRUPT
-- Example  redis-cli --eval lua/list_holds.lua '{redisstore}:holds:agent:main:telegram:dm:42'

local holds_key = KEYS[1]
local prefix = string.match(holds_key, '^{[^}]*}:') or ''

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

return damaged_index(holds_key) or redis.call('ZRANGEBYSCORE', holds_key, '(' .. whole(now), '+inf', 'WITHSCORES')
