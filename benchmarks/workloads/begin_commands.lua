#!lua
-- The commands of a turn's begin on a session that is there, and no logic: nothing is looked at.
--
-- KEYS[1]  partition   {redisstore}:
-- KEYS[2]  entry       {redisstore}:entry:<session key>
-- ARGV[1]  member      the session key
-- ARGV[2]  token       of the turn
-- ARGV[3]  message_id  what it handles
-- ARGV[4]  due         when the session is due for a reset (ms)
-- Returns  what begin_turn returns of a turn that runs

local prefix, entry_key, member, token, message_id = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]
local time = redis.call('TIME')
redis.call('EXISTS', prefix .. 'op:' .. token)
redis.setresp(3)
local entry = redis.call('HGETALL', entry_key)
redis.setresp(2)
redis.call('HGETALL', prefix .. 'turn:' .. member)
redis.call('ZSCORE', prefix .. 'turns', member)
redis.call('LRANGE', prefix .. 'queue:' .. member, 0, -1)
redis.call('ZSCORE', prefix .. 'seen:' .. member, message_id)
redis.call('SET', prefix .. 'fence', time[1] .. '000000', 'GET')
redis.call('ZADD', prefix .. 'expiry', ARGV[4], member)
redis.call('ZADD', prefix .. 'updated_at', time[1] .. '000', member)
redis.call('HSET', entry_key, 'updated_at', time[1] .. '000', 'version', time[2], 'replica', 'benchmark')
redis.call('HSET', prefix .. 'turn:' .. member, 'token', token, 'fence', time[1] .. '000000', 'replica', 'benchmark',
  'message_id', message_id, 'session_id', member, 'began_at', time[1] .. '000', 'created', '', 'reset_reason', '', 'id_home', '')
redis.call('ZADD', prefix .. 'turns', time[1] .. '000', member)
return { 'running', time[1] .. '000000', time[1] .. '000', '', '', entry }
