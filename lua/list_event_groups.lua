#!lua flags=no-writes
-- The groups that read a partition's events, and how far each is.
--
-- KEYS[1]  partition  {redisstore}:
-- KEYS[2]  stream     {redisstore}:events
-- Returns  about how many events the stream keeps, then for each group its name, how many events are given out and not
--          acknowledged, for how long the first of them has been (ms), to whom, how many wait to be given out ('' where
--          the server can't tell), '1' if others were trimmed away before they were given out, else ''
-- Errors   none but WRONGTYPE, where the stream was damaged by hand
-- Example  redis-cli --eval lua/list_event_groups.lua '{redisstore}:' '{redisstore}:events'

local prefix, events_stream = KEYS[1], KEYS[2]

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
-- shared: whole
local function whole(number)
  return string.format('%.0f', number)
end
-- end shared

local answer = { whole(kept()) }
for _, info in ipairs(redis.call('EXISTS', events_stream) == 1 and redis.call('XINFO', 'GROUPS', events_stream) or {}) do
  local known = {}
  for i = 1, #info, 2 do
    known[info[i]] = info[i + 1]
  end
  local oldest = redis.call('XPENDING', events_stream, known.name, '-', '+', 1)[1] or {}
  answer[#answer + 1], answer[#answer + 2] = known.name, whole(known.pending)
  answer[#answer + 1], answer[#answer + 2] = whole(oldest[3] or 0), oldest[2] or ''
  answer[#answer + 1] = known.lag and whole(known.lag) or ''
  answer[#answer + 1] = gap_behind(known['last-delivered-id']) and '1' or ''
end
return answer
