-- Why the turn `<token> <fence>` may not write, or nil: its lease must run, for this very conversation,
-- and the lane must not have been bound anew since, not even to the same again.
local function refusal_of(turn_named, session_id)
  local turn = redis.call('HMGET', prefix .. 'turn:' .. session_key, 'token', 'fence', 'session_id', 'rebound')
  local lapses = redis.call('ZSCORE', prefix .. 'turns', session_key)
  if turn_named ~= (turn[1] or '') .. ' ' .. (turn[2] or '') or not is_leased(lapses) then
    return redis.error_reply('LOST the turn no longer has the lane ' .. session_key)
  elseif turn[3] ~= session_id or turn[4] then
    return redis.error_reply('STALE session_id: the lane was bound anew since the turn began with ' .. tostring(turn[3])
      .. ', it is now ' .. tostring(session_id))
  end
end
