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
