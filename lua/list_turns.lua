#!lua flags=no-writes
-- Running turns, those that lapse first in front, a page a call.
--
-- KEYS[1]  partition  {redisstore}:
-- KEYS[2]  index      {redisstore}:turns
-- ARGV[1]  after      the score after which to go on, as the page before told; '': begin with the first
-- ARGV[2]  limit      how many, 1 to 1000; all that lapse at the same moment as the last are added
-- Returns  the server's time (ms), the score to go on after, '' at the end, then for each turn its session key, when it lapses (ms),
--          how many wait, {field, value ...}. One that is renewed between two pages is in both
-- Errors   none but WRONGTYPE, where a key was damaged by hand
-- Example  redis-cli --eval lua/list_turns.lua '{redisstore}:' '{redisstore}:turns' , '' 100

local prefix, turns_index = KEYS[1], KEYS[2]
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
-- shared: attempt
-- What a command says; {} where the key is of another type, for it was damaged by hand. Any other error, of permissions say,
-- is no answer: it ends the script. So the first attempt comes before the first write.
local function attempt(...)
  local answer = redis.pcall(...)
  local fault = type(answer) == 'table' and answer.err
  return fault and (string.find(tostring(fault), '^WRONGTYPE') and {} or redis.call(...)) or answer
end
-- end shared

-- A turn or queue of a wrong type, which an audit names, is listed as empty.
local turns, last = page_after(turns_index, after, limit)
local answer = { whole(now), last }
for i = 1, #turns, 2 do
  answer[#answer + 1], answer[#answer + 2] = turns[i], whole(turns[i + 1])
  answer[#answer + 1] = whole(tonumber(attempt('LLEN', prefix .. 'queue:' .. turns[i])) or 0)
  answer[#answer + 1] = attempt('HGETALL', prefix .. 'turn:' .. turns[i])
end
return answer
