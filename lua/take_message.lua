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
-- Errors   LOST, STALE, LIMIT, CORRUPT, NOLAYOUT: nobody has laid out this partition, or its data was flushed
-- Example  redis-cli --eval lua/take_message.lua '{redisstore}:' '{redisstore}:entry:agent:main:telegram:dm:42' , m-2 86400000 '' 0 ''

local message_id, message_ttl_ms, token, keep_ms, if_turn = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local MOST_TAKEN = 1000

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
-- Whether a lease still runs. One that lapses more than five minutes later than any can counts as lapsed: the clock was set back.
local LONGEST_LEASE_MS, FURTHEST_LEASE_MS = 300000, 600000
local function is_leased(lapses)
  lapses = tonumber(lapses or 0) or 0
  return lapses > now and lapses <= now + FURTHEST_LEASE_MS
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
-- shared: fence
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
-- end shared
-- shared: layout
-- Whether this partition was laid out as the caller believes. The tag of an only partition has no dot; its record is the
-- store's own, which may have been laid out anew with more.
local function is_laid_out()
  local partitions = redis.call('HGET', prefix .. 'meta', 'partitions')
  return partitions and (partitions == '1') == (string.find(prefix, '.', 1, true) == nil)
end
-- end shared

local seen_key, turn_key = prefix .. 'seen:' .. session_key, prefix .. 'turn:' .. session_key
local fault = damaged_index(seen_key, prefix .. 'turns')
if fault then
  return fault
end
local turn = redis.call('HMGET', turn_key, 'message_id', 'also ' .. message_id, 'takes')
if redis.call('ZSCORE', seen_key, message_id) then
  return 'done'
elseif (turn[1] == message_id or turn[2]) and is_leased(redis.call('ZSCORE', prefix .. 'turns', session_key)) then
  return 'running'
end
for _, waiter in ipairs(redis.call('LRANGE', prefix .. 'queue:' .. session_key, 0, -1)) do
  if string.sub(waiter, string.find(waiter, ' ', 1, true) + 1) == message_id then
    return 'waiting'
  end
end

if if_turn == '' then
  if not is_laid_out() then
    return redis.error_reply('NOLAYOUT ' .. prefix .. 'meta is missing or says otherwise: open the store first')
  end
  remember('taken')
  redis.call('ZADD', seen_key, whole(now), message_id)
  redis.call('ZREMRANGEBYSCORE', seen_key, '-inf', whole(now - message_ttl_ms))
  redis.call('PEXPIRE', seen_key, whole(message_ttl_ms))
  return 'taken'
end
local taken = tonumber(turn[3]) or 0
local refusal = refusal_of(if_turn, redis.call('HGET', entry_key, 'session_id'))
if refusal then
  return refusal
elseif taken >= MOST_TAKEN then
  return redis.error_reply('LIMIT if_turn takes ' .. MOST_TAKEN .. ' messages at most')
end
remember('taken')
redis.call('HSET', turn_key, 'also ' .. message_id, '1', 'takes', whole(taken + 1))
return 'taken'
