#!lua
-- Take a message that does not get a turn of its own: one that a running turn answers as well, or one
-- that needs none, as a command. Who takes it first has it; a delivery again is told so.
--
-- KEYS[1]  partition       {redisstore}:
-- KEYS[2]  entry           {redisstore}:entry:<session key>
-- ARGV[1]  message_id      the platform's id of the message
-- ARGV[2]  message_ttl_ms  how long it is known as done
-- ARGV[3]  token           names the call, for a repetition; '': none
-- ARGV[4]  keep_ms         how long the token is known
-- ARGV[5]  if_turn         the turn that answers it, '<token> <fence>': done when that ends, free when it is lost; '': done now
-- Returns  'taken', or what it is already: 'done', 'running' or 'waiting'
-- Errors   LOST, LIMIT, CORRUPT
-- Example  redis-cli --eval lua/take_message.lua '{redisstore}:' '{redisstore}:entry:agent:main:telegram:dm:42' , m-2 86400000 '' 0 ''

local message_id, message_ttl_ms, token, keep_ms, if_turn = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local MOST_TAKEN = 1000

-- shared: names
local prefix, entry_key = KEYS[1], KEYS[2]
local session_key = string.sub(entry_key, #prefix + #'entry:' + 1)
local updated_at_index = prefix .. 'updated_at'
local session_ids_index = prefix .. 'session_ids'
local expiry_index = prefix .. 'expiry'
local active_index = prefix .. 'active'
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
  return earlier
end
-- shared: lease
-- Whether a lease still runs. One that lapses later than any can counts as lapsed: the clock was set back.
local LONGEST_LEASE_MS = 300000
local function is_leased(lapses)
  lapses = tonumber(lapses or 0)
  return lapses > now and lapses <= now + LONGEST_LEASE_MS
end
-- end shared
-- shared: indexes
-- Scripts don't roll back: a key of a wrong type ends the script before its first write.
local function damaged_index(...)
  for _, index in ipairs({ ... }) do
    local kind, wanted = redis.call('TYPE', index).ok, index == prefix .. 'events' and 'stream' or 'zset'
    if kind ~= wanted and kind ~= 'none' then
      return redis.error_reply('CORRUPT ' .. index .. ' is damaged: it is a ' .. kind .. ', not a '
        .. (wanted == 'zset' and 'sorted set' or wanted))
    end
  end
end
-- end shared

local seen_key, turn_key = prefix .. 'seen:' .. session_key, prefix .. 'turn:' .. session_key
local fault = damaged_index(seen_key, prefix .. 'turns')
if fault then
  return fault
end
local turn = redis.call('HMGET', turn_key, 'token', 'fence', 'message_id', 'takes', 'also ' .. message_id)
local runs = turn[1] and is_leased(redis.call('ZSCORE', prefix .. 'turns', session_key))
if redis.call('ZSCORE', seen_key, message_id) then
  return 'done'
elseif runs and (turn[3] == message_id or turn[5]) then
  return 'running'
end
for _, waiter in ipairs(redis.call('LRANGE', prefix .. 'queue:' .. session_key, 0, -1)) do
  if string.sub(waiter, string.find(waiter, ' ', 1, true) + 1) == message_id then
    return 'waiting'
  end
end
if if_turn ~= '' then
  if not runs or if_turn ~= turn[1] .. ' ' .. (turn[2] or '') then
    return redis.error_reply('LOST the turn no longer has the lane ' .. session_key)
  elseif tonumber(turn[4] or 0) >= MOST_TAKEN then
    return redis.error_reply('LIMIT a turn takes ' .. MOST_TAKEN .. ' messages at most')
  end
  remember('taken')
  redis.call('HSET', turn_key, 'also ' .. message_id, '1')
  redis.call('HINCRBY', turn_key, 'takes', 1)
else
  remember('taken')
  redis.call('ZADD', seen_key, whole(now), message_id)
  redis.call('ZREMRANGEBYSCORE', seen_key, '-inf', whole(now - message_ttl_ms))
  redis.call('PEXPIRE', seen_key, whole(message_ttl_ms))
end
return 'taken'
