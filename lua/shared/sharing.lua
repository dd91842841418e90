-- Mark all entries here that are bound to an id as sharing it, so that their turns take its lock too.
-- Returns session key, token and lapse of each turn that runs on it now, and how many entries there are.
local function share(session_id, id_home, but_not)
  local running, entries = {}, 0
  local bound = redis.call('ZRANGE', prefix .. 'session_ids', '[' .. session_id .. ' ', '(' .. session_id .. '!', 'BYLEX')
  for _, member in ipairs(bound) do
    local session_key = string.sub(member, #session_id + 2)
    local entry_key, turn_key = prefix .. 'entry:' .. session_key, prefix .. 'turn:' .. session_key
    local values = redis.pcall('HMGET', entry_key, 'session_id', 'id_home', 'version')
    if session_key ~= but_not and values[1] == session_id and is_whole(values[3]) then
      entries = entries + 1
      if values[2] ~= id_home then
        redis.call('HSET', entry_key, 'id_home', id_home, 'version', whole(values[3] + 1))
      end
      local turn = redis.call('HMGET', turn_key, 'token', 'fence', 'session_id')
      local lapses = redis.call('ZSCORE', prefix .. 'turns', session_key)
      if turn[2] and turn[3] == session_id and is_leased(lapses) then
        redis.call('HSET', turn_key, 'id_home', id_home)
        running[#running + 1], running[#running + 2], running[#running + 3] = session_key, turn[1], whole(lapses)
      end
    end
  end
  return running, entries
end
