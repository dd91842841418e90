#!lua
-- Before another lane is bound to a session id: mark those that are bound to it already, in this
-- partition, and say which of them have a turn running, since that turn has to have the id's lock then. Where the lock
-- lives, fences go on from the largest that any partition has given out.
--
-- KEYS[1]  partition   {redisstore}:
-- KEYS[2]  index       {redisstore}:updated_at
-- ARGV[1]  session_id  the id
-- ARGV[2]  id_home     the partition in which its lock lives
-- ARGV[3]  fence       fences here are larger from now on; 0: they are as they are
-- Returns  the largest fence that was given out here (where the lock lives, or what its next is larger than), then for each running turn its session key, token, fence, and '1': it had no lock before
-- Errors   CORRUPT (an index)
-- Example  redis-cli --eval lua/share_session_id.lua '{redisstore}:' '{redisstore}:updated_at' , 20261101_090000_0123deadbeef '{redisstore}:' 0

local prefix, session_id, id_home, fence = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])

-- shared: clock
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- end shared
-- shared: whole
local function whole(number)
  return string.format('%.0f', number)
end
-- end shared
-- shared: is_whole
local function is_whole(text)
  return text and #text <= 16 and string.find(text, '^%d+$') ~= nil
end
-- end shared
-- shared: bindings
-- The hash of the session ids that end alike: from each session key that is bound to one of them, to that id.
local function ids_of(session_id)
  return prefix .. 'session_ids:' .. string.sub(session_id, -3)
end
-- end shared
-- shared: lanes
-- The session keys that are bound to an id, as the index has it. A hash of the index is read once a script: what the script
-- itself binds after that is not in it.
local lanes_read = {}
local function lanes_of(session_id)
  local ids = ids_of(session_id)
  if not lanes_read[ids] then
    local bound, lanes = redis.call('HGETALL', ids), {}
    for i = 1, #bound, 2 do
      local keys = lanes[bound[i + 1]] or {}
      keys[#keys + 1], lanes[bound[i + 1]] = bound[i], keys
    end
    lanes_read[ids] = lanes
  end
  return lanes_read[ids][session_id] or {}
end
-- end shared
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
-- shared: lease
-- Whether a lease still runs. One that lapses more than five minutes later than any can counts as lapsed: the clock was set back.
local LONGEST_LEASE_MS, FURTHEST_LEASE_MS = 300000, 600000
local function is_leased(lapses)
  lapses = tonumber(lapses or 0) or 0
  return lapses > now and lapses <= now + FURTHEST_LEASE_MS
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
-- shared: sharing
-- Mark all entries here that are bound to an id as sharing it, so that their turns take its lock too, and return them, each with
-- its turn. One that ran without the lock gets it, in an only partition; elsewhere the caller sees to that. Where another turn
-- that may still write has it, this one is stale: never two have it. All is read before the first write.
local function share(session_id, id_home)
  local sharers, lock_key, is_only = {}, prefix .. 'lock:' .. session_id, not string.find(prefix, '.', 1, true)
  local lock = attempt('HMGET', lock_key, 'token', 'session_key')
  local holder_key, lock_lapses = prefix .. 'turn:' .. (lock[2] or ''), redis.call('ZSCORE', prefix .. 'locks', session_id)
  local holder = attempt('HMGET', holder_key, 'token', 'rebound')
  local is_held = lock[1] and lock[1] == holder[1] and not holder[2] and is_leased(lock_lapses)
  for _, session_key in ipairs(lanes_of(session_id)) do
    local lane = { session_key = session_key, entry_key = prefix .. 'entry:' .. session_key, turn_key = prefix .. 'turn:' .. session_key }
    local values = attempt('HMGET', lane.entry_key, 'session_id', 'id_home', 'version')
    if values[1] == session_id and is_whole(values[3]) then
      local turn = attempt('HMGET', lane.turn_key, 'token', 'fence', 'session_id', 'id_home', 'rebound')
      lane.lapses = redis.call('ZSCORE', prefix .. 'turns', session_key)
      lane.runs = turn[2] and turn[3] == session_id and not turn[5] and is_leased(lane.lapses)
      lane.turn, lane.had_no_lock, lane.id_home, lane.version = turn, (turn[4] or '') == '', values[2], values[3]
      sharers[#sharers + 1] = lane
    end
  end
  for _, lane in ipairs(sharers) do
    local token = lane.turn[1]
    if lane.id_home ~= id_home then
      redis.call('HSET', lane.entry_key, 'id_home', id_home, 'version', whole(lane.version + 1))
    end
    if lane.runs then
      redis.call('HSET', lane.turn_key, 'id_home', id_home)
    end
    if lane.runs and lane.had_no_lock and is_only and is_held and lock[1] ~= token then
      redis.call('HSET', lane.turn_key, 'rebound', '1')
    elseif lane.runs and lane.had_no_lock and is_only then
      -- Who had it lost it, or was about to get it. A lock that was damaged by hand is nobody's: who wants it is told.
      attempt('HDEL', holder_key, 'going_to')
      attempt('HDEL', lock_key, 'fence')
      attempt('HSET', lock_key, 'token', token, 'session_key', lane.session_key, 'replica', string.match(token, '^[^/]+'))
      redis.call('ZADD', prefix .. 'locks', whole(lane.lapses), session_id)
      lock, is_held = lane.turn, true
    end
  end
  return sharers
end
-- end shared

local fault = damaged_index(ids_of(session_id), prefix .. 'turns', prefix .. 'locks')
if fault then
  return fault
end
local last_fence = redis.call('GET', prefix .. 'fence')
-- Where the lock lives, the next one is larger than the clock, too.
local given_out = math.max(is_whole(last_fence) and tonumber(last_fence) or 0, id_home == prefix and now * 1000 + time[2] % 1000 or 0)
local sharers = share(session_id, id_home)
if fence > given_out then
  redis.call('SET', prefix .. 'fence', whole(fence))
end
local answer = { whole(given_out) }
for _, lane in ipairs(sharers) do
  if lane.runs then
    for _, part in ipairs({ lane.session_key, lane.turn[1], lane.turn[2], lane.had_no_lock and '1' or '' }) do
      answer[#answer + 1] = part
    end
  end
end
return answer
