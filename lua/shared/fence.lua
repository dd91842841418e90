-- Why the turn `<token> <fence>` may not write, or nil: its lease must run, for this very conversation,
-- and the lane must not have been bound anew since, not even to the same again. Then the turn, by field.
local function refusal_of(turn_named, session_id)
  redis.setresp(3)
  local turn = redis.call('HGETALL', prefix .. 'turn:' .. session_key).map
  redis.setresp(2)
  local lapses, refusal = redis.call('ZSCORE', prefix .. 'turns', session_key), nil
  if turn_named ~= (turn.token or '') .. ' ' .. (turn.fence or '') or not is_leased(lapses) then
    refusal = redis.error_reply('LOST the turn no longer has the lane ' .. session_key)
  elseif not session_id or turn.session_id ~= session_id or turn.rebound then
    refusal = redis.error_reply('STALE session_id: the lane was bound anew since the turn began with '
      .. tostring(turn.session_id) .. ', it is now ' .. tostring(session_id))
  end
  return refusal, turn
end
