#!lua flags=no-writes
-- The session that is bound to a session id; of several, the latest active.
--
-- KEYS[1]  partition   {redisstore}:
-- KEYS[2]  index       {redisstore}:session_ids
-- ARGV[1]  session_id  the conversation
-- Returns  session key, {field, value ...}; empty: none here
-- Errors   CORRUPT (the index)
-- Example  redis-cli --eval lua/lookup_session_id.lua '{redisstore}:' '{redisstore}:session_ids' , 20261122_112233_deadbeef0123

local prefix, session_ids_index, session_id = KEYS[1], KEYS[2], ARGV[1]

-- shared: indexes
-- Scripts don't roll back: a key of a wrong type ends the script before its first write.
local function damaged_index(...)
  for _, index in ipairs({ ... }) do
    local kind, wanted = redis.call('TYPE', index).ok, index == prefix .. 'events' and 'stream' or 'zset'
    if kind ~= wanted and kind ~= 'none' then
      return redis.error_reply('CORRUPT ' .. index .. ' is damaged: it is a ' .. kind .. ', not a '
        .. (wanted == 'zset' and 'sorted set' or wanted))
    end
  end
end
-- end shared

local fault = damaged_index(session_ids_index)
if fault then
  return fault
end
local latest, latest_at = {}, -1
local bound = redis.call('ZRANGEBYLEX', session_ids_index, '[' .. session_id .. ' ', '(' .. session_id .. '!')
for _, member in ipairs(bound) do
  local session_key = string.sub(member, #session_id + 2)
  local values = redis.pcall('HMGET', prefix .. 'entry:' .. session_key, 'session_id', 'updated_at')
  if type(values) == 'table' and values[1] == session_id and (tonumber(values[2]) or 0) > latest_at then
    latest, latest_at = { session_key }, tonumber(values[2]) or 0
  end
end
if latest[1] then
  latest[2] = redis.call('HGETALL', prefix .. 'entry:' .. latest[1])
end
return latest
