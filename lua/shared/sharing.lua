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
