#!lua flags=no-writes
-- How many lanes of this partition are bound to each of some session ids; it stops at two.
--
-- KEYS[1]  partition  {redisstore}:
-- KEYS[2]  index      {redisstore}:session_ids
-- ARGV[1]  ...        session ids
-- Returns  '0', '1' or '2' for each
-- Errors   CORRUPT (the index)
-- Example  redis-cli --eval lua/count_bindings.lua '{redisstore}:' '{redisstore}:session_ids' , 20261122_112233_deadbeef0123 20261101_090000_0123deadbeef

local prefix, session_ids_index = KEYS[1], KEYS[2]

-- shared: whole
local function whole(number)
  return string.format('%.0f', number)
end
-- end shared
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

-- Members are looked up: an id that begins with this one and a space is in the same range.
local function bound_to(session_id)
  local count = 0
  for _, member in ipairs(redis.call('ZRANGE', session_ids_index, '[' .. session_id .. ' ', '(' .. session_id .. '!', 'BYLEX')) do
    local entry_key = prefix .. 'entry:' .. string.sub(member, #session_id + 2)
    if count < 2 and redis.pcall('HGET', entry_key, 'session_id') == session_id then
      count = count + 1
    end
  end
  return count
end

local counts = {}
for i, session_id in ipairs(ARGV) do
  counts[i] = whole(bound_to(session_id))
end
return counts
