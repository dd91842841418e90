#!lua flags=allow-oom
-- Take or renew the lock of a session id that several lanes share, for a turn that has its lane already,
-- and give out a fence that is larger than that of any turn which had the id before, on whichever lane. While another turn has the lock: wait in line, and call again when woken; or be told who has it.
--
-- KEYS[1]  partition    {redisstore}:
-- KEYS[2]  lock         {redisstore}:lock:<session id>
-- ARGV[1]  token        of the turn
-- ARGV[2]  session_key  its lane
-- ARGV[3]  lease_ms     when the lock lapses unless it is renewed; at most 300000
-- ARGV[4]  queue_limit  how many may wait for the lock; 0: this turn does not wait
-- ARGV[5]  fence        that the turn was given with its lane
-- ARGV[6]  revoked      the turn of this token has lost its lane, so that its lapsed lock may be taken; '': none
-- Returns  'locked', fence; 'waiting', 'busy' or 'full', lapses (ms), ms until then, replica that has the lock, place in line;
--          'lapsed', token, session key: the lane has to be taken from that turn first
-- Errors   BADARG, CORRUPT (the index)
-- Example  redis-cli --eval lua/lock_session_id.lua '{redisstore}:' '{redisstore}:lock:20261122_112233_deadbeef0123' , by-hand/0/1 agent:main:telegram:dm:42 30000 0 1763810553123000 ''

local prefix, lock_key = KEYS[1], KEYS[2]
local token, session_key, lease_ms, queue_limit = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local lane_fence, revoked = tonumber(ARGV[5]), ARGV[6]
local session_id = string.sub(lock_key, #prefix + #'lock:' + 1)

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

local place = { hash = lock_key, queue = prefix .. 'lock_queue:' .. session_id, index = prefix .. 'locks', member = session_id }
local myself = token .. ' ' .. session_key
if not lease_ms or lease_ms < 1 or lease_ms > LONGEST_LEASE_MS or not queue_limit or not lane_fence then
  return redis.error_reply('BADARG lease_ms must be 1 to 300000, queue_limit and fence numbers')
end
local fault, last_fence = damaged_index(place.index), redis.call('GET', prefix .. 'fence')
if fault then
  return fault
end

local lock = redis.call('HMGET', lock_key, 'token', 'session_key', 'replica')
local lapses = redis.call('ZSCORE', place.index, session_id)
if lock[1] and lock[1] ~= token and not is_leased(lapses) then
  if lock[2] and lock[1] ~= revoked then
    return { 'lapsed', lock[1], lock[2] }
  elseif not lock[2] and string.match(redis.call('LINDEX', place.queue, 0) or '', '^%S+') == lock[1] then
    redis.call('LPOP', place.queue)
  end
  grant_next(place)
elseif not lock[1] and redis.call('LLEN', place.queue) > 0 then
  grant_next(place)
end

lock = redis.call('HMGET', lock_key, 'token', 'session_key', 'replica', 'fence')
if lock[1] and lock[1] ~= token then
  lapses = redis.call('ZSCORE', place.index, session_id) or whole(now)
  local queue, at = redis.call('LRANGE', place.queue, 0, -1)
  for i, waiter in ipairs(queue) do
    at = waiter == myself and i or at
  end
  local has_it = { whole(lapses), whole(lapses - now), lock[3] or '', whole(at or #queue + 1) }
  if not at and (queue_limit == 0 or #queue >= queue_limit) then
    return { queue_limit == 0 and 'busy' or 'full', unpack(has_it) }
  elseif not at then
    redis.call('RPUSH', place.queue, myself)
  end
  redis.call('UNLINK', prefix .. 'wake:' .. token)
  return { 'waiting', unpack(has_it) }
end
local fence = lock[4]
if not fence then
  fence = whole(math.max(is_whole(last_fence) and last_fence + 1 or 0, lane_fence + 1, now * 1000 + time[2] % 1000))
  redis.call('SET', prefix .. 'fence', fence)
end
redis.call('LREM', place.queue, 1, myself)
redis.call('HSET', lock_key, 'token', token, 'session_key', session_key, 'replica', string.match(token, '^[^/]+'),
  'fence', fence)
redis.call('ZADD', place.index, whole(now + lease_ms), session_id)
return { 'locked', fence }
