#!lua flags=allow-oom
-- Take a session from the turn that has it, whatever that believes: for one that hangs while its replica
-- lives and renews it. What it writes later is refused, and the lane goes to the next in line. Its
-- messages are free to come again, and the session is marked as interrupted; or they count as handled.
--
-- KEYS[1]  partition       {redisstore}:
-- KEYS[2]  entry           {redisstore}:entry:<session key>
-- ARGV[1]  token           of this call, repeated with it it does nothing more; '': none
-- ARGV[2]  turn_token      of the turn
-- ARGV[3]  keep_ms         how long the tokens are known
-- ARGV[4]  message_ttl_ms  count its messages as handled, for so long; '': they are free to come again
-- Returns  'revoked', 'unclaimed': it has not begun, or 'gone': it has the lane no more; of the last two nothing was changed. Then '1': somebody waited and has the lane now, the partition of the session id's lock or '', the session id or ''
-- Errors   CORRUPT (an index)
-- Example  redis-cli --eval lua/revoke_turn.lua '{redisstore}:' '{redisstore}:entry:agent:main:telegram:dm:42' , '' by-hand/0/1 10000 ''

local token, turn_token, keep_ms, message_ttl_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

-- shared: names
local prefix, entry_key = KEYS[1], KEYS[2]
local session_key = string.sub(entry_key, #prefix + #'entry:' + 1)
local updated_at_index, expiry_index, active_index = prefix .. 'updated_at', prefix .. 'expiry', prefix .. 'active'
-- end shared
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
-- shared: replay
-- A call that is repeated with its token gets its first answer again and changes nothing.
local op_key = prefix .. 'op:' .. token
local earlier = token ~= '' and redis.call('GET', op_key)
local function remember(answer)
  if token ~= '' then
    redis.call('SET', op_key, answer, 'PX', keep_ms)
  end
  return answer
end
-- end shared
if earlier then
  local outcome, id_home, session_id = string.match(earlier, '^(%S+) (%S*) (.*)$')
  return { outcome, '', id_home, session_id }
end
-- shared: attempt
-- What a command says; {} where the key is of another type, for it was damaged by hand. Any other error, of permissions say,
-- is no answer: it ends the script. So the first attempt comes before the first write.
local function attempt(...)
  local answer = redis.pcall(...)
  local fault = type(answer) == 'table' and answer.err
  return fault and (string.find(tostring(fault), '^WRONGTYPE') and {} or redis.call(...)) or answer
end
-- end shared
-- shared: events
-- Tell of a change in the partition's stream. How many events it keeps is in its layout record.
local function announce(kind, ...)
  local kept = string.match(redis.call('HGET', prefix .. 'meta', 'events') or '', '^%d+$') or '10000'
  redis.call('XADD', prefix .. 'events', 'MAXLEN', '~', kept, '*', 'event', kind, ...)
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

local lane, seen_key = lane_of(session_key), prefix .. 'seen:' .. session_key
local fault = damaged_index(lane.index, seen_key, prefix .. 'events')
if fault then
  return fault
end
redis.call('LINDEX', lane.queue, 0) -- ends the script here if it is of a wrong type
attempt('HMGET', entry_key, 'session_id') -- so that `interrupt` is refused it here, if at all
redis.setresp(3)
local turn = redis.call('HGETALL', lane.hash).map
redis.setresp(2)
if turn.token ~= turn_token then
  return { 'gone', '', '', '' }
elseif not turn.fence then
  return { 'unclaimed', '', '', '' }
end

remember('revoked ' .. (turn.id_home or '') .. ' ' .. (turn.session_id or ''))
redis.call('SET', prefix .. 'op:' .. turn_token, 'abandoned', 'NX', 'PX', keep_ms)
announce('turn_lost', 'session_key', session_key, 'session_id', turn.session_id or '', 'message_id', turn.message_id or '',
  'replica', turn.replica or '', 'fence', turn.fence, 'reason', 'revoked')
-- shared: handled
-- The messages that the turn was for, as ZADD takes them.
local handled = (turn.message_id or '') ~= '' and { now, turn.message_id } or {}
for field in pairs(turn.takes and turn or {}) do
  if string.sub(field, 1, 5) == 'also ' then
    handled[#handled + 1], handled[#handled + 2] = now, string.sub(field, 6)
  end
end
-- end shared
if message_ttl_ms then
  redis.call('ZREMRANGEBYSCORE', seen_key, '-inf', whole(now - message_ttl_ms))
  if #handled > 0 then
    redis.call('ZADD', seen_key, unpack(handled))
    redis.call('PEXPIRE', seen_key, whole(message_ttl_ms))
  end
else
  interrupt(entry_key, session_key, turn.session_id, 'turn_revoked')
end
local next_token = grant_next(lane)
return { 'revoked', next_token and '1' or '', turn.id_home or '', turn.session_id or '' }
