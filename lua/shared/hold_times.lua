-- Drop the holds that have lapsed, and score the session in the active set by the last that remains. A hold
-- that lapses later than any can counts from now, for the clock was set back; cut so, it is as long as the longest.
local LONGEST_HOLD_MS = 3600000
local function settle_holds(session_key)
  local holds_key = prefix .. 'holds:' .. session_key
  redis.call('ZREMRANGEBYSCORE', holds_key, '-inf', whole(now))
  local furthest = whole(now + LONGEST_HOLD_MS)
  for _, process_id in ipairs(redis.call('ZRANGEBYSCORE', holds_key, '(' .. furthest, '+inf')) do
    redis.call('ZADD', holds_key, furthest, process_id)
  end
  local last = redis.call('ZREVRANGE', holds_key, 0, 0, 'WITHSCORES')
  if last[2] then
    redis.call('ZADD', active_index, last[2], session_key)
  else
    redis.call('ZREM', active_index, session_key)
  end
end
