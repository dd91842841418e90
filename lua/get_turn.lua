#!lua flags=no-writes
-- Which turn has a lane, and on which session id; whether its lease runs is not asked.
--
-- KEYS[1]  partition  {redisstore}:
-- KEYS[2]  turn       {redisstore}:turn:<session key>
-- Returns  token, session id; both empty: none
-- Errors   none: what is no turn is nobody's
-- Example  redis-cli --eval lua/get_turn.lua '{redisstore}:' '{redisstore}:turn:agent:main:telegram:dm:42'

local turn_key = KEYS[2]

-- shared: attempt
-- What a command says; {} where the key is of another type, for it was damaged by hand. Any other error, of permissions say,
-- is no answer: it ends the script. So the first attempt comes before the first write.
local function attempt(...)
  local answer = redis.pcall(...)
  local fault = type(answer) == 'table' and answer.err
  return fault and (string.find(tostring(fault), '^WRONGTYPE') and {} or redis.call(...)) or answer
end
-- end shared

local turn = attempt('HMGET', turn_key, 'token', 'session_id')
return { turn[1] or '', turn[2] or '' }
