#!lua flags=no-writes
-- What happened in a partition after a position, the oldest first. Where the reader fell behind, it is told from
-- which event on the stream still has them.
--
-- KEYS[1]  partition  {redisstore}:
-- KEYS[2]  stream     {redisstore}:events
-- ARGV[1]  after      id of the last event that was read; '': from the oldest on; '$': from now on
-- ARGV[2]  limit      how many events at most
-- Returns  the position to go on from, the first event that is left after a gap ('' for no gap), then for each event
--          its id, {field, value ...}
-- Errors   none but WRONGTYPE, where the stream was damaged by hand
-- Example  redis-cli --eval lua/read_events.lua '{redisstore}:' '{redisstore}:events' , '' 100

local prefix, events_stream = KEYS[1], KEYS[2]
local after, limit = ARGV[1], ARGV[2]

-- shared: gap
-- About how many events the stream keeps.
local function kept()
  return tonumber(redis.call('HGET', prefix .. 'meta', 'events') or '') or 10000
end
-- What was trimmed away behind a position in the stream: the first event that is left, or nil. At '0-0' nothing
-- had been written yet, so nothing is missing before the stream was full for the first time.
local function gap_behind(position)
  local first = redis.call('XRANGE', events_stream, '-', '+', 'COUNT', 1)[1]
  if not first then
    return nil
  elseif position == '0-0' then
    return redis.call('XLEN', events_stream) >= kept() and first[1] or nil
  end
  local ms, number = string.match(position, '^(%d+)-(%d+)$')
  local first_ms, first_number = string.match(first[1], '^(%d+)-(%d+)$')
  local ahead = first_ms - ms
  return (ahead > 0 or ahead == 0 and first_number - number > 0) and first[1] or nil
end
-- end shared

if after == '$' then
  local last = redis.call('XREVRANGE', events_stream, '+', '-', 'COUNT', 1)[1]
  return { last and last[1] or '0-0', '' }
end
local from, position = '(' .. after, after
if after == '' then
  from, position = '-', '0-0'
end
local answer = { position, after ~= '' and gap_behind(after) or '' }
for _, event in ipairs(redis.call('XRANGE', events_stream, from, '+', 'COUNT', limit)) do
  answer[1] = event[1]
  answer[#answer + 1], answer[#answer + 2] = event[1], event[2]
end
return answer
