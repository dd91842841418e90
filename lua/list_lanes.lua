#!lua flags=no-writes
-- Which of some session ids lanes of this partition are bound to, and which lanes; two of each at most.
--
-- KEYS[1]  partition  {redisstore}:
-- KEYS[2]  index      {redisstore}:updated_at
-- ARGV[1]  ...        session ids
-- Returns  for each that is bound here {its number among them, from 0, session key ...}
-- Errors   CORRUPT (an index)
-- Example  redis-cli --eval lua/list_lanes.lua '{redisstore}:' '{redisstore}:updated_at' , 20261122_112233_deadbeef0123 20261101_090000_0123deadbeef

local prefix = KEYS[1]

-- shared: attempt
-- What a command says; {} where the key is of another type, for it was damaged by hand. Any other error, of permissions say,
-- is no answer: it ends the script. So the first attempt comes before the first write.
local function attempt(...)
  local answer = redis.pcall(...)
  local fault = type(answer) == 'table' and answer.err
  return fault and (string.find(tostring(fault), '^WRONGTYPE') and {} or redis.call(...)) or answer
end
-- end shared
-- shared: bindings
-- The hash of the session ids that end alike: from each session key that is bound to one of them, to that id.
local function ids_of(session_id)
  return prefix .. 'session_ids:' .. string.sub(session_id, -3)
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

-- An import asks all partitions for all its ids, and in most of them there is nothing: one command an id, then.
local answer, lanes_by_id = {}, {}
for i, session_id in ipairs(ARGV) do
  local ids = ids_of(session_id)
  if not lanes_by_id[ids] then
    local bindings, lanes = redis.pcall('HGETALL', ids), {}
    if bindings.err then
      return string.find(bindings.err, '^WRONGTYPE') and damaged_index(ids) or bindings
    end
    for at = 1, #bindings, 2 do
      local keys = lanes[bindings[at + 1]] or {}
      keys[#keys + 1], lanes[bindings[at + 1]] = bindings[at], keys
    end
    lanes_by_id[ids] = lanes
  end
  local found = { i - 1 }
  for _, session_key in ipairs(lanes_by_id[ids][session_id] or {}) do
    if #found < 3 and attempt('HGET', prefix .. 'entry:' .. session_key, 'session_id') == session_id then
      found[#found + 1] = session_key
    end
  end
  answer[#answer + 1] = found[2] and found
end
return answer
