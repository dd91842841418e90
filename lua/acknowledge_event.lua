#!lua flags=allow-oom
-- A consumer has handled an event: its group needs no other to do so. Also when memory is full.
--
-- KEYS[1]  partition  {redisstore}:
-- KEYS[2]  stream     {redisstore}:events
-- ARGV[1]  group      its name
-- ARGV[2]  id         of the event
-- Returns  '1'; '0': it was acknowledged before, or never given
-- Errors   none but WRONGTYPE, where the stream was damaged by hand
-- Example  redis-cli --eval lua/acknowledge_event.lua '{redisstore}:' '{redisstore}:events' , agents 1763810553123-0

local events_stream = KEYS[2]
local group, id = ARGV[1], ARGV[2]

return redis.call('XACK', events_stream, group, id) == 1 and '1' or '0'
