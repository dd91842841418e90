#!lua
-- Before another lane is bound to a session id: mark those that are bound to it already, in this
-- partition, and say which of them have a turn running, since that turn has to have the id's lock then.
--
-- KEYS[1]  partition   {redisstore}:
-- KEYS[2]  index       {redisstore}:updated_at
-- ARGV[1]  session_id  the id
-- ARGV[2]  id_home     the partition in which its lock lives
-- Returns  triples of session key, and token and fence of its running turn
-- Errors   CORRUPT (an index)
-- Example  redis-cli --eval lua/share_session_id.lua '{redisstore}:' '{redisstore}:updated_at' , 20261101_090000_0123deadbeef '{redisstore}:'

local prefix, session_id, id_home = KEYS[1], ARGV[1], ARGV[2]

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
-- The session keys that are bound to an id, as the index has it.
local function lanes_of(session_id)
  local bound, lanes = redis.call('HGETALL', ids_of(session_id)), {}
  for i = 1, #bound, 2 do
    lanes[#lanes + 1] = bound[i + 1] == session_id and bound[i] or nil
  end
  return lanes
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
  return fault and (string.find(fault, '^WRONGTYPE') and {} or redis.call(...)) or answer
end
-- end shared
-- shared: sharing
-- Mark all entries here that are bound to an id as sharing it, so that their turns take its lock too.
-- A turn that runs on it now gets the lock, if that lives here, and is returned: session key,
-- token and fence. The second answer is how many entries there are. All is read before the first write.
local function share(session_id, id_home, but_not)
  local running, sharers, lock_key = {}, {}, prefix .. 'lock:' .. session_id
  for _, session_key in ipairs(lanes_of(session_id)) do
    local entry_key, turn_key = prefix .. 'entry:' .. session_key, prefix .. 'turn:' .. session_key
    local values = attempt('HMGET', entry_key, 'session_id', 'id_home', 'version')
    if session_key ~= but_not and values[1] == session_id and is_whole(values[3]) then
      sharers[#sharers + 1] = { session_key = session_key, entry_key = entry_key, turn_key = turn_key, id_home = values[2], version = values[3],
        turn = attempt('HMGET', turn_key, 'token', 'fence', 'session_id', 'id_home'), lapses = redis.call('ZSCORE', prefix .. 'turns', session_key) }
    end
  end
  for _, lane in ipairs(sharers) do
    local turn = lane.turn
    if lane.id_home ~= id_home then
      redis.call('HSET', lane.entry_key, 'id_home', id_home, 'version', whole(lane.version + 1))
    end
    if turn[2] and turn[3] == session_id and is_leased(lane.lapses) then
      redis.call('HSET', lane.turn_key, 'id_home', id_home)
      -- One that began when it was shared already has the lock, or waits for it.
      if id_home == prefix and turn[4] ~= id_home then
        -- A lock that was damaged by hand is nobody's: who wants it is told.
        attempt('HSET', lock_key, 'token', turn[1], 'session_key', lane.session_key, 'replica', string.match(turn[1], '^[^/]+'))
        redis.call('ZADD', prefix .. 'locks', whole(lane.lapses), session_id)
      end
      running[#running + 1], running[#running + 2], running[#running + 3] = lane.session_key, turn[1], turn[2]
    end
  end
  return running, #sharers
end
-- end shared

local fault = damaged_index(ids_of(session_id), prefix .. 'turns', prefix .. 'locks')
if fault then
  return fault
end
local running = share(session_id, id_home, '')
return running
