-- A turn that runs is stale once the lane is bound anew, even if it is to the same id again one day.
local function make_turn_stale()
  local turn_key = prefix .. 'turn:' .. session_key
  if redis.pcall('HEXISTS', turn_key, 'fence') == 1 then
    redis.call('HSET', turn_key, 'rebound', '1')
  end
end
