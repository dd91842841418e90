-- The turn that has the lane, by its key, or nil. It is stale once the lane is bound anew, even if it is to the same id again
-- one day: it gets the mark `rebound`. Asked for before the first write.
local function turn_here()
  local turn_key = prefix .. 'turn:' .. session_key
  return type(attempt('HGET', turn_key, 'fence')) == 'string' and turn_key or nil
end
