#!lua flags=no-writes
-- The replicas, those that lapse (or lapsed) first in front, a page a call.
--
-- KEYS[1]  root   {redisstore}:
-- KEYS[2]  index  {redisstore}:replicas
-- ARGV[1]  skip   rank to begin at
-- ARGV[2]  limit  how many, 1 to 1000
-- Returns  for each its name, when it lapses (ms), 'alive' or 'dead', {field, value ...} or what is wrong with it
-- Errors   WRONGTYPE, where the index was damaged by hand
-- Example  redis-cli --eval lua/list_replicas.lua '{redisstore}:' '{redisstore}:replicas' , 0 100

local prefix, replicas_index = KEYS[1], KEYS[2]
local skip, limit = tonumber(ARGV[1]), tonumber(ARGV[2])

-- shared: clock
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- end shared
-- shared: whole
local function whole(number)
  return string.format('%.0f', number)
end
-- end shared
-- shared: heartbeats
-- How long after a beat a replica counts as alive at most. What lapses more than five minutes later shows that the clock was set back.
local LONGEST_TTL_MS, FURTHEST_TTL_MS = 3600000, 3900000
-- end shared

local answer = {}
local replicas = redis.call('ZRANGE', replicas_index, skip, skip + limit - 1, 'WITHSCORES')
for i = 1, #replicas, 2 do
  local lapses = tonumber(replicas[i + 1])
  answer[#answer + 1], answer[#answer + 2] = replicas[i], whole(lapses)
  -- Too late: the clock was set back, and it has not beaten since.
  answer[#answer + 1] = lapses > now and lapses <= now + FURTHEST_TTL_MS and 'alive' or 'dead'
  local known = redis.pcall('HGETALL', prefix .. 'replica:' .. replicas[i])
  if known.err and not string.find(tostring(known.err), '^WRONGTYPE') then
    return known
  end
  answer[#answer + 1] = known.err and 'it is not a hash' or known
end
return answer
