#!lua flags=no-writes
-- Which lanes of this partition are bound to each of some session ids; two of each at most.
--
-- KEYS[1]  partition  {redisstore}:
-- KEYS[2]  index      {redisstore}:updated_at
-- ARGV[1]  ...        session ids
-- Returns  {session key, ...} for each
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
-- shared: lanes
-- The session keys that are bound to an id, as the index has it. A hash of the index is read once a script: what the script
-- itself binds after that is not in it.
local lanes_read = {}
local function lanes_of(session_id)
  local ids = ids_of(session_id)
  if not lanes_read[ids] then
    local bound, lanes = redis.call('HGETALL', ids), {}
    for i = 1, #bound, 2 do
      local keys = lanes[bound[i + 1]] or {}
      keys[#keys + 1], lanes[bound[i + 1]] = bound[i], keys
    end
    lanes_read[ids] = lanes
  end
  return lanes_read[ids][session_id] or {}
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

local function bound_to(session_id)
  local bound = {}
  for _, session_key in ipairs(lanes_of(session_id)) do
    if #bound < 2 and attempt('HGET', prefix .. 'entry:' .. session_key, 'session_id') == session_id then
      bound[#bound + 1] = session_key
    end
  end
  return bound
end

local answer = {}
for i, session_id in ipairs(ARGV) do
  local fault = damaged_index(ids_of(session_id))
  if fault then
    return fault
  end
  answer[i] = bound_to(session_id)
end
return answer
