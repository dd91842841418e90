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
