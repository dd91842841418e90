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
