#!lua
-- The commands of a turn's end that nobody waits for, and no logic: nothing is looked at.
--
-- KEYS[1]  partition   {redisstore}:
-- KEYS[2]  entry       {redisstore}:entry:<session key>
-- ARGV[1]  member      the session key
-- ARGV[2]  token       of the turn
-- ARGV[3]  message_id  what it has handled
-- ARGV[4]  due         when the session is due for a reset (ms)
-- Returns  what end_turn returns of a turn that ended well

local prefix, entry_key, member, token, message_id = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]
local turn_key, seen_key = prefix .. 'turn:' .. member, prefix .. 'seen:' .. member
local time = redis.call('TIME')
redis.call('GET', prefix .. 'op:' .. token)
redis.setresp(3)
local entry = redis.call('HGETALL', entry_key)
redis.setresp(2)
redis.call('HGETALL', turn_key)
redis.call('ZSCORE', prefix .. 'turns', member)
redis.call('SET', prefix .. 'op:' .. token, 'ended', 'PX', 10000)
redis.call('ZADD', prefix .. 'expiry', ARGV[4], member)
redis.call('ZADD', prefix .. 'updated_at', time[1] .. '000', member)
redis.call('HSET', entry_key, 'updated_at', time[1] .. '000', 'version', time[2], 'input_tokens', time[2], 'output_tokens',
  time[2], 'total_tokens', time[2], 'last_prompt_tokens', '1200')
redis.call('ZADD', seen_key, time[1] .. '000', message_id)
redis.call('ZREMRANGEBYSCORE', seen_key, '-inf', '0')
redis.call('PEXPIRE', seen_key, 86400000)
redis.call('UNLINK', turn_key)
redis.call('LINDEX', prefix .. 'queue:' .. member, 0)
redis.call('ZREM', prefix .. 'turns', member)
return { 'ended', '', '', member, entry }
