-- Mark all entries here that are bound to an id as sharing it, so that their turns take its lock too.
-- A turn that runs on it now gets the lock, if that lives here, and is returned: session key,
-- token and fence. The second answer is how many entries there are.
local function share(session_id, id_home, but_not)
  local running, entries, lock_key = {}, 0, prefix .. 'lock:' .. session_id
  for _, session_key in ipairs(lanes_of(session_id)) do
    local entry_key, turn_key = prefix .. 'entry:' .. session_key, prefix .. 'turn:' .. session_key
    local values = redis.pcall('HMGET', entry_key, 'session_id', 'id_home', 'version')
    if session_key ~= but_not and values[1] == session_id and is_whole(values[3]) then
      entries = entries + 1
      if values[2] ~= id_home then
        redis.call('HSET', entry_key, 'id_home', id_home, 'version', whole(values[3] + 1))
      end
      local turn = redis.pcall('HMGET', turn_key, 'token', 'fence', 'session_id', 'id_home')
      local lapses = redis.call('ZSCORE', prefix .. 'turns', session_key)
      if turn[2] and turn[3] == session_id and is_leased(lapses) then
        redis.call('HSET', turn_key, 'id_home', id_home)
        -- One that began when it was shared already has the lock, or waits for it.
        if id_home == prefix and turn[4] ~= id_home then
          -- A lock that was damaged by hand is nobody's: who wants it is told.
          redis.pcall('HSET', lock_key, 'token', turn[1], 'session_key', session_key, 'replica', string.match(turn[1], '^[^/]+'))
          redis.call('ZADD', prefix .. 'locks', whole(lapses), session_id)
        end
        for _, part in ipairs({ session_key, turn[1], turn[2] }) do
          running[#running + 1] = part
        end
      end
    end
  end
  return running, entries
end
