-- Mark a session as interrupted, unless it is suspended. With a limit this counts as one of several
-- times in a row, and after so many the session is suspended instead (0: never). Marking is not activity.
-- Says what became of it.
local function interrupt(entry_key, session_key, session_id, reason, interruption_limit)
  local now_is = attempt('HMGET', entry_key, 'session_id', 'version', 'suspended', 'interruptions')
  if now_is[1] ~= session_id or not is_whole(now_is[2]) or now_is[3] == '1' then
    return ''
  end
  local interruptions = (is_whole(now_is[4]) and tonumber(now_is[4]) or 0) + 1
  local limit = interruption_limit or 0
  local outcome = limit > 0 and interruptions >= limit and 'suspended' or 'resume_pending'
  redis.call('HSET', entry_key, outcome, '1', 'resume_reason', reason, 'last_resume_marked_at', whole(now),
    'version', whole(now_is[2] + 1))
  if interruption_limit then
    redis.call('HSET', entry_key, 'interruptions', whole(interruptions))
  end
  announce(outcome, 'session_key', session_key, 'session_id', session_id, 'reason', reason)
  return outcome
end
