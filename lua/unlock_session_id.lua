#!lua flags=allow-oom
-- Give up the lock of a shared session id, or the place in line for it, and give it to the next in line.
--
-- KEYS[1]  partition    {redisstore}:
-- KEYS[2]  lock         {redisstore}:lock:<session id>
-- ARGV[1]  token        of the turn
-- ARGV[2]  session_key  its lane
-- ARGV[3]  if_lapsed    '1': only if its lease has lapsed; '': in any case
-- Returns  '1': the turn had the lock
-- Errors   none but WRONGTYPE, where a key was damaged by hand
-- Example  redis-cli --eval lua/unlock_session_id.lua '{redisstore}:' '{redisstore}:lock:20261122_112233_deadbeef0123' , by-hand/0/1 agent:main:telegram:dm:42 ''

local prefix, lock_key = KEYS[1], KEYS[2]
local token, session_key, if_lapsed = ARGV[1], ARGV[2], ARGV[3] == '1'
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
if if_lapsed and is_leased(redis.call('ZSCORE', place.index, session_id)) then
  return ''
end
redis.call('LREM', place.queue, 1, token .. ' ' .. session_key)
if redis.call('HGET', lock_key, 'token') ~= token then
  return ''
end
grant_next(place)
return '1'
