#!lua flags=no-writes
-- Read one session. Touches nothing, creates nothing.
--
-- KEYS[1]  partition     {redisstore}:
-- KEYS[2]  entry         {redisstore}:entry:<session key>
-- Returns  field, value, field, value ...; empty: no such session
-- Errors   CORRUPT
-- Example  redis-cli --eval lua/get_session.lua '{redisstore}:' '{redisstore}:entry:agent:main:telegram:dm:42'

local entry_key = KEYS[2]

local flat = redis.pcall('HGETALL', entry_key)
if flat.err then
  return string.find(tostring(flat.err), '^WRONGTYPE') and redis.error_reply('CORRUPT ' .. entry_key .. ' is damaged: it is not a hash') or flat
end
return flat
