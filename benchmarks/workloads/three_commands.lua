#!lua
-- The three commands that get_or_create_session stands for on a session that is there, and no
-- logic: nothing is looked at, and the reply is the entry as it was.
--
-- KEYS[1]  entry       {redisstore}:entry:<session key>
-- KEYS[2]  index       {redisstore}:updated_at
-- ARGV[1]  member      the session key
-- ARGV[2]  updated_at  ms since 1970
-- ARGV[3]  ...         fields and values to write
-- Returns  field, value, field, value ...

local entry = redis.call('HGETALL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
return entry
