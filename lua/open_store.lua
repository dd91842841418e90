#!lua flags=allow-oom
-- Check that a store was laid out as the caller believes, or, on the first write, lay it out.
-- A reader of an empty Redis leaves no trace. Each partition has such a record too, made before its
-- first session: without it, data was flushed and the store may have been laid out anew.
--
-- KEYS[1]  meta        {redisstore}:meta, or that of a partition
-- ARGV[1]  layout      layout version of the caller
-- ARGV[2]  partitions  partition count of the caller; '': as stored
-- ARGV[3]  default     partition count of a new store, where the caller names none
-- ARGV[4]  claim       '1': lay out a store where there is none
-- ARGV[5]  events      about how many events a partition of it keeps
-- Returns  the partition count; '': there is no store here
-- Errors   LAYOUT, CORRUPT
-- Example  redis-cli --eval lua/open_store.lua '{redisstore}:meta' , 1 '' 1 '' 10000

local meta_key, layout, partitions, default, claim = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1'
local events = ARGV[5] or '10000'

local kind = redis.call('TYPE', meta_key).ok
if kind ~= 'hash' and kind ~= 'none' then
  return redis.error_reply('CORRUPT ' .. meta_key .. ' is damaged: it is a ' .. kind .. ', not a hash')
end
local stored = redis.call('HMGET', meta_key, 'layout', 'partitions')
if not stored[1] and not stored[2] then
  if not claim then
    return ''
  end
  partitions = partitions ~= '' and partitions or default
  redis.call('HSET', meta_key, 'layout', layout, 'partitions', partitions, 'events', events)
  return partitions
end
if stored[1] ~= layout then
  return redis.error_reply('LAYOUT ' .. meta_key .. ' says layout ' .. tostring(stored[1]) .. ', this client knows layout '
    .. layout .. '; export with the version that wrote it, import with this one')
end
if not stored[2] or (partitions ~= '' and stored[2] ~= partitions) then
  return redis.error_reply('LAYOUT ' .. meta_key .. ' says ' .. tostring(stored[2]) .. ' partitions, this client was told '
    .. partitions .. '; leave partitions unset to use what is stored, or stop all writers, export, and import into a new namespace')
end
return stored[2]
