#!lua flags=allow-oom
-- Keep claims on expired sessions while they are being finalized. One that new activity, or another
-- replica, has ended stays so.
--
-- KEYS[1]  partition  {redisstore}:
-- KEYS[2]  index      {redisstore}:expiry
-- ARGV[1]  claim_ms   as when they were made
-- ARGV[2]  ...        pairs of session key and token
-- Returns  for each: when the claim lapses (ms), or 'lost'
-- Errors   BADARG, WRONGTYPE (the index)
-- Example  redis-cli --eval lua/renew_claims.lua '{redisstore}:' '{redisstore}:expiry' , 60000 agent:main:telegram:dm:42 by-hand/0/1

local prefix, expiry_index, claim_ms = KEYS[1], KEYS[2], tonumber(ARGV[1])

-- shared: clock
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- end shared
-- shared: whole
local function whole(number)
  return string.format('%.0f', number)
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

if not claim_ms or claim_ms < 1 or claim_ms > 3600000 then
  return redis.error_reply('BADARG claim_ms must be 1 to 3600000')
end
local answers = {}
for i = 2, #ARGV, 2 do
  local answer = 'lost'
  -- One whose entry was damaged is lost, the others go on.
  if attempt('HGET', prefix .. 'entry:' .. ARGV[i], 'finalize_token') == ARGV[i + 1] then
    answer = whole(now + claim_ms)
    redis.call('ZADD', expiry_index, answer, ARGV[i])
  end
  answers[#answers + 1] = answer
end
return answers
