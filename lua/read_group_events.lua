#!lua flags=allow-oom
-- What a group has for one of its consumers, the oldest first: what it was given before and has not acknowledged, also
-- what others have left for too long; else what is new. So the same call again gives the same. Makes the group where
-- there is none. Also when memory is full.
--
-- KEYS[1]  partition  {redisstore}:
-- KEYS[2]  stream     {redisstore}:events
-- ARGV[1]  group      its name
-- ARGV[2]  consumer   who reads
-- ARGV[3]  start      where a new group begins: after this event; '0-0': at the oldest; '$': now
-- ARGV[4]  claim_ms   what another consumer has not acknowledged for so long is taken from it
-- ARGV[5]  told       the first event that is left after a gap, as the reader was told; '': of none
-- ARGV[6]  limit      how many events at most
-- Returns  how far the group was, the first event that is left after a gap ('' for no gap; nothing new is given then
--          until that was told), then for each event its id, {field, value ...} ({}: it was trimmed away)
-- Errors   CORRUPT
-- Example  redis-cli --eval lua/read_group_events.lua '{redisstore}:' '{redisstore}:events' , agents by-hand '$' 60000 '' 10

local prefix, events_stream = KEYS[1], KEYS[2]
local group, consumer, start, claim_ms, told, limit = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

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

local fault = damaged_index(events_stream)
if fault then
  return fault
end
local position
for _, info in ipairs(redis.call('EXISTS', events_stream) == 1 and redis.call('XINFO', 'GROUPS', events_stream) or {}) do
  local known = {}
  for i = 1, #info, 2 do
    known[info[i]] = info[i + 1]
  end
  position = known.name == group and known['last-delivered-id'] or position
end
local is_new = not position
if is_new then
  redis.call('XGROUP', 'CREATE', events_stream, group, start, 'MKSTREAM')
end
local answer = { position or '0-0', '' }

local function event_at(id)
  return redis.call('XRANGE', events_stream, id, id)[1]
end
local function add(id, event)
  answer[#answer + 1], answer[#answer + 2] = id, event and event[2] or {}
end
for _, left in ipairs(redis.call('XPENDING', events_stream, group, 'IDLE', claim_ms, '-', '+', limit)) do
  if left[2] ~= consumer then
    -- To claim what was trimmed away would only drop it from the list, before anybody was told.
    if event_at(left[1]) then
      redis.call('XCLAIM', events_stream, group, consumer, claim_ms, left[1], 'JUSTID')
    else
      add(left[1], nil)
    end
  end
end
local function mine()
  return redis.call('XPENDING', events_stream, group, '-', '+', limit, consumer)
end
local given = mine()
if #given == 0 and #answer == 2 then
  local first = not is_new and gap_behind(position)
  if first and first ~= told then
    answer[2] = first
    return answer
  end
  redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', limit, 'STREAMS', events_stream, '>')
  given = mine()
end
for _, pending in ipairs(given) do
  local event = event_at(pending[1])
  if event then
    -- Counts from now, for whoever looks for what was left.
    redis.call('XCLAIM', events_stream, group, consumer, 0, pending[1], 'JUSTID')
  end
  add(pending[1], event)
end
return answer
