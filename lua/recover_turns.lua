#!lua flags=allow-oom
-- Look after turns whose lease has lapsed: their replica died, or was away for too long. Their sessions
-- are marked as interrupted (reason replica_lost), their messages are free again, and their lanes go to
-- the next in line. Any replica may call it, at any time. Holds that a clock which was set back has left
-- in the far future are cut too. Locks of session ids that have lapsed are told: their turns may be elsewhere.
--
-- KEYS[1]  partition           {redisstore}:
-- KEYS[2]  index               {redisstore}:turns
-- ARGV[1]  limit               how many lanes to look at, 1 to 1000
-- ARGV[2]  interruption_limit  so many times in a row suspend a session; 0: never
-- ARGV[3]  session_key         look at this lane only, at its queue too; '': at all that have lapsed
-- ARGV[4]  revoked             take the lane of session_key from the turn of this token, lapsed or not; '': none
-- ARGV[5]  revoked_id          but only if it runs on this session id; if it was about to go on under it, that is off
-- Returns  '1': there are more, '1': somebody waited and has a lane now, {session id, token, session key or '', ...} of lapsed locks,
--          then for each lost turn its session key, token, session id, message id, replica, what became of the session
--          (resume_pending, suspended or ''), and the partition of its session id's lock, or ''
-- Errors   BADARG, CORRUPT (an index)
-- Example  redis-cli --eval lua/recover_turns.lua '{redisstore}:' '{redisstore}:turns' , 100 3 '' '' ''

local prefix, turns_index = KEYS[1], KEYS[2]
local limit, interruption_limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local only, revoked, revoked_id = ARGV[3], ARGV[4], ARGV[5]
local active_index = prefix .. 'active'

-- shared: clock
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- end shared
-- shared: whole
local function whole(number)
  return string.format('%.0f', number)
end
-- end shared
-- shared: is_whole
local function is_whole(text)
  return text and #text <= 16 and string.find(text, '^%d+$') ~= nil
end
-- end shared
-- shared: indexes
-- Scripts don't roll back: a key of a wrong type ends the script before its first write.
local function damaged_index(...)
  for _, index in ipairs({ ... }) do
    local kind, name = redis.call('TYPE', index).ok, string.sub(index, #prefix + 1)
    local wanted = name == 'events' and 'stream' or string.sub(name, 1, 12) == 'session_ids:' and 'hash' or 'zset'
    if kind ~= wanted and kind ~= 'none' then
      return redis.error_reply('CORRUPT ' .. index .. ' is damaged: it is a ' .. kind .. ', not a ' .. (wanted == 'zset' and 'sorted set' or wanted))
    end
  end
end
-- end shared
-- shared: lease
-- Whether a lease still runs. One that lapses more than five minutes later than any can counts as lapsed: the clock was set back.
local LONGEST_LEASE_MS, FURTHEST_LEASE_MS = 300000, 600000
local function is_leased(lapses)
  lapses = tonumber(lapses or 0) or 0
  return lapses > now and lapses <= now + FURTHEST_LEASE_MS
end
-- end shared
-- shared: events
-- Tell of a change in the partition's stream. How many events it keeps is in its layout record.
local function announce(kind, ...)
  local kept = string.match(redis.call('HGET', prefix .. 'meta', 'events') or '', '^%d+$') or '10000'
  redis.call('XADD', prefix .. 'events', 'MAXLEN', '~', kept, '*', 'event', kind, ...)
end
-- end shared
-- shared: hold_times
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
-- end shared
-- shared: lane
-- The lane of a session key, as a place.
local function lane_of(session_key)
  return { hash = prefix .. 'turn:' .. session_key, queue = prefix .. 'queue:' .. session_key, index = prefix .. 'turns',
    member = session_key }
end
-- end shared
-- shared: wake
-- Wake one who waits: a hint to begin again, dropped where an earlier one is unread.
local function wake(waiter)
  local wake_key = prefix .. 'wake:' .. string.match(waiter, '^%S*')
  if redis.call('EXISTS', wake_key) == 0 then
    redis.call('RPUSH', wake_key, whole(now))
    redis.call('PEXPIRE', wake_key, 60000)
  end
end
-- end shared
-- shared: grant
-- A place is what one turn at a time may have, a lane or a shared session id: `hash` tells of the
-- turn, `queue` who waits, `index` when the lease lapses. Free it, and give it to the first in line
-- who listens, with a short time to claim it. Who left a wake-up unread for that long does not listen, nor who has no token.
local CLAIM_MS = 2000
local function grant_next(place)
  redis.call('UNLINK', place.hash)
  local waiter = redis.call('LINDEX', place.queue, 0)
  while waiter do
    local token = string.match(waiter, '^%S*')
    local wake_key = prefix .. 'wake:' .. token
    local woken_at = redis.call('TYPE', wake_key).ok == 'list' and redis.call('LINDEX', wake_key, 0)
    if token ~= '' and (not woken_at or now - (tonumber(woken_at) or 0) < CLAIM_MS) then
      redis.call('HSET', place.hash, 'token', token, 'replica', string.match(token, '^[^/]*'))
      redis.call('ZADD', place.index, whole(now + CLAIM_MS), place.member)
      wake(waiter)
      return token
    end
    redis.call('LPOP', place.queue)
    redis.call('UNLINK', wake_key)
    waiter = redis.call('LINDEX', place.queue, 0)
  end
  redis.call('ZREM', place.index, place.member)
end
-- end shared
-- shared: attempt
-- What a command says; {} where the key is of another type, for it was damaged by hand. Any other error, of permissions say,
-- is no answer: it ends the script. So the first attempt comes before the first write.
local function attempt(...)
  local answer = redis.pcall(...)
  local fault = type(answer) == 'table' and answer.err
  return fault and (string.find(tostring(fault), '^WRONGTYPE') and {} or redis.call(...)) or answer
end
-- end shared
-- shared: interruption
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
-- end shared

if not limit or limit < 1 or limit > 1000 or not interruption_limit then
  return redis.error_reply('BADARG recover_turns needs a limit of 1 to 1000 and an interruption_limit')
end
local fault = damaged_index(turns_index, active_index, prefix .. 'events')
if fault then
  return fault
end

local answer = { '', '', {} }
-- Drop those who left a wake-up unread, and wake the others: it is seen then who still listens.
local function call_the_roll(lane)
  for _, waiter in ipairs(redis.call('LRANGE', lane.queue, 0, -1)) do
    local wake_key = prefix .. 'wake:' .. string.match(waiter, '^%S*')
    local woken_at = redis.call('TYPE', wake_key).ok == 'list' and redis.call('LINDEX', wake_key, 0)
    if woken_at and now - (tonumber(woken_at) or 0) >= CLAIM_MS then
      redis.call('LREM', lane.queue, 1, waiter)
      redis.call('UNLINK', wake_key)
    else
      wake(waiter)
    end
  end
end

-- What is no turn, or no queue, is nobody's, and must not keep the others from being recovered.
local function drop_damaged(lane)
  for key, wanted in pairs({ [lane.hash] = 'hash', [lane.queue] = 'list' }) do
    local kind = redis.call('TYPE', key).ok
    if kind ~= wanted and kind ~= 'none' then
      redis.call('UNLINK', key)
    end
  end
end

local function recover(session_key)
  local lane = lane_of(session_key)
  drop_damaged(lane)
  local turn = redis.call('HMGET', lane.hash, 'token', 'fence', 'session_id', 'message_id', 'replica', 'id_home')
  local is_revoked = turn[1] == revoked and turn[3] == revoked_id
  if turn[1] and not is_revoked and is_leased(redis.call('ZSCORE', turns_index, session_key)) then
    if turn[1] == revoked then
      redis.call('HDEL', lane.hash, 'going_to')
    elseif only ~= '' and revoked == '' then
      call_the_roll(lane)
    end
    return
  end
  if turn[1] and turn[2] then
    announce('turn_lost', 'session_key', session_key, 'session_id', turn[3] or '', 'message_id', turn[4] or '',
      'replica', turn[5] or '',
      'fence', turn[2])
    local outcome = interrupt(prefix .. 'entry:' .. session_key, session_key, turn[3], 'replica_lost', interruption_limit)
    for _, part in ipairs({ session_key, turn[1], turn[3] or '', turn[4] or '', turn[5] or '', outcome, turn[6] or '' }) do
      answer[#answer + 1] = part
    end
  elseif turn[1] then
    -- It was this one's turn, and it did not come.
    local head = redis.call('LINDEX', lane.queue, 0)
    if head and string.match(head, '^%S+') == turn[1] then
      redis.call('LPOP', lane.queue)
      redis.call('UNLINK', prefix .. 'wake:' .. turn[1])
    end
    call_the_roll(lane)
  end
  answer[2] = grant_next(lane) and '1' or answer[2]
end

if only ~= '' then
  recover(only)
  return answer
end
local lapsed = redis.call('ZRANGEBYSCORE', turns_index, '-inf', whole(now), 'LIMIT', 0, limit)
local too_far = redis.call('ZRANGEBYSCORE', turns_index, '(' .. whole(now + FURTHEST_LEASE_MS), '+inf', 'LIMIT', 0, limit)
for _, lanes in ipairs({ lapsed, too_far }) do
  for _, session_key in ipairs(lanes) do
    recover(session_key)
  end
  answer[1] = #lanes == limit and '1' or answer[1]
end
local locks_index, too_far_ahead = prefix .. 'locks', '(' .. whole(now + FURTHEST_LEASE_MS)
local function tell_locks(...)
  for _, session_id in ipairs(damaged_index(locks_index) and {} or redis.call('ZRANGEBYSCORE', locks_index, ...)) do
    local lock, told = attempt('HMGET', prefix .. 'lock:' .. session_id, 'token', 'session_key'), answer[3]
    if lock[1] then
      told[#told + 1], told[#told + 2], told[#told + 3] = session_id, lock[1], lock[2] or ''
    end
  end
end
tell_locks('-inf', whole(now), 'LIMIT', 0, limit)
tell_locks(too_far_ahead, '+inf', 'LIMIT', 0, limit)
local far_held = redis.call('ZRANGEBYSCORE', active_index, '(' .. whole(now + LONGEST_HOLD_MS), '+inf', 'LIMIT', 0, limit)
for _, session_key in ipairs(far_held) do
  if not damaged_index(prefix .. 'holds:' .. session_key) then
    settle_holds(session_key)
  end
end
return answer
