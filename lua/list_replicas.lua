#!lua flags=no-writes
-- The replicas, those that lapse (or lapsed) first in front, a page a call.
--
-- KEYS[1]  root   {redisstore}:
-- KEYS[2]  index  {redisstore}:replicas
-- ARGV[1]  after  the score after which to go on, as the page before told; '': begin with the first
-- ARGV[2]  limit  how many, 1 to 1000; all that lapse at the same moment as the last are added
-- Returns  the score to go on after, '' at the end, then for each its name, when it lapses (ms), 'alive' or 'dead',
--          {field, value ...} or what is wrong with it. One that beats between two pages is in both
-- Errors   WRONGTYPE, where the index was damaged by hand
-- Example  redis-cli --eval lua/list_replicas.lua '{redisstore}:' '{redisstore}:replicas' , '' 100

local prefix, replicas_index = KEYS[1], KEYS[2]
local after, limit = ARGV[1], tonumber(ARGV[2])

-- shared: clock
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- end shared
-- shared: whole
local function whole(number)
  return string.format('%.0f', number)
end
-- end shared
-- shared: pages
-- A page of an index by time, and the score to go on after, or ''. Members that stay move only to the end, so none is missed:
-- a page has all that lapse at its last moment, and is as much larger than asked for.
local function page_after(index, after, limit)
  local first = after == '' and '-inf' or '(' .. after
  local page = redis.call('ZRANGEBYSCORE', index, first, '+inf', 'WITHSCORES', 'LIMIT', 0, limit)
  local last = page[2 * limit]
  return last and redis.call('ZRANGEBYSCORE', index, first, last, 'WITHSCORES') or page, last or ''
end
-- end shared
-- shared: heartbeats
-- How long after a beat a replica counts as alive at most. What lapses more than five minutes later shows that the clock was set back.
local LONGEST_TTL_MS, FURTHEST_TTL_MS = 3600000, 3900000
-- end shared

local replicas, last = page_after(replicas_index, after, limit)
local answer = { last }
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
