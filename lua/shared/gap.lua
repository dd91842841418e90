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
