#!lua flags=allow-oom
-- A replica that shuts down takes its name off the list. A process that took the name since keeps it.
--
-- KEYS[1]  root         {redisstore}:
-- KEYS[2]  index        {redisstore}:replicas
-- ARGV[1]  replica      its name
-- ARGV[2]  incarnation  as in its heartbeats
-- Returns  '1': it was listed, '0': it was not
-- Errors   CORRUPT (the index)
-- Example  redis-cli --eval lua/leave.lua '{redisstore}:' '{redisstore}:replicas' , by-hand 0

local prefix, replicas_index = KEYS[1], KEYS[2]
local replica, incarnation = ARGV[1], ARGV[2]

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

-- shared: attempt
-- What a command says; {} where the key is of another type, for it was damaged by hand. Any other error, of permissions say,
-- is no answer: it ends the script. So the first attempt comes before the first write.
local function attempt(...)
  local answer = redis.pcall(...)
  local fault = type(answer) == 'table' and answer.err
  return fault and (string.find(tostring(fault), '^WRONGTYPE') and {} or redis.call(...)) or answer
end
-- end shared
local fault = damaged_index(replicas_index)
if fault then
  return fault
end
local replica_key = prefix .. 'replica:' .. replica
if attempt('HGET', replica_key, 'incarnation') ~= incarnation then
  return '0'
end
redis.call('ZREM', replicas_index, replica)
redis.call('UNLINK', replica_key)
return '1'
