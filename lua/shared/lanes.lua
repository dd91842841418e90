-- The session keys that are bound to an id, as the index has it.
local function lanes_of(session_id)
  local bound, lanes = redis.call('HGETALL', ids_of(session_id)), {}
  for i = 1, #bound, 2 do
    lanes[#lanes + 1] = bound[i + 1] == session_id and bound[i] or nil
  end
  return lanes
end
