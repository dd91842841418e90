#!lua flags=no-writes
-- What is bound to session ids that end alike, for several partitions to be held against one another: a lane
-- that shares its id with one of another partition must be marked as sharing it.
--
-- KEYS[1]  partition  {redisstore}:
-- KEYS[2]  index      {redisstore}:updated_at
-- ARGV[1]  ...        the last three bytes of ids
-- Returns  for each {session id, session key, '1': it is marked, or ''; ...}
-- Errors   none: an index of a wrong type is reported by audit_keys.lua
-- Example  redis-cli --eval lua/audit_bindings.lua '{redisstore}:' '{redisstore}:updated_at' , 123

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

local answer = {}
for i, ending in ipairs(ARGV) do
  local bound, found = attempt('HGETALL', prefix .. 'session_ids:' .. ending), {}
  for at = 1, #bound, 2 do
    local entry = attempt('HMGET', prefix .. 'entry:' .. bound[at], 'session_id', 'id_home')
    if entry[1] == bound[at + 1] then
      found[#found + 1], found[#found + 2], found[#found + 3] = entry[1], bound[at], entry[2] and '1' or ''
    end
  end
  answer[i] = found
end
return answer
