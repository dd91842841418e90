#!lua flags=allow-oom
-- Remove keys of one partition, whatever they hold: a step of dropping a whole store, which a SCAN leads.
-- The layout record of the store goes last, so that an interrupted drop knows its partitions again.
--
-- KEYS[1]  partition  {redisstore}:
-- KEYS[2]  meta       {redisstore}:meta
-- ARGV[1]  ...        the keys, without the partition in front
-- Returns  how many of them there were
-- Errors   none
-- Example  redis-cli --eval lua/drop_keys.lua '{redisstore}:' '{redisstore}:meta' , op:by-hand wake:by-hand

local prefix, removed = KEYS[1], 0
for _, name in ipairs(ARGV) do
  removed = removed + redis.call('UNLINK', prefix .. name)
end
return string.format('%.0f', removed)
