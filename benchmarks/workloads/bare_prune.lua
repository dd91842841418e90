#!lua
-- The least that a prune can do: one HMGET an entry, then UNLINK and ZREM. It keeps nothing back,
-- knows one index of four, can't be repeated, and is here to be compared with lua/prune.lua.
--
-- KEYS[1]  partition   {redisstore}:
-- KEYS[2]  index       {redisstore}:updated_at
-- ARGV[1]  cutoff      ms since 1970
-- ARGV[2]  limit       how many entries to look at
-- Returns  how many were removed

local oldest = redis.call('ZRANGE', KEYS[2], 0, ARGV[2] - 1)
local cutoff, members, entries = tonumber(ARGV[1]), {}, {}
for _, member in ipairs(oldest) do
  local entry_key = KEYS[1] .. 'entry:' .. member
  local values = redis.call('HMGET', entry_key, 'updated_at', 'suspended', 'session_id')
  if tonumber(values[1]) < cutoff and values[2] ~= '1' then
    members[#members + 1] = member
    entries[#entries + 1] = entry_key
  end
end
if #members > 0 then
  redis.call('UNLINK', unpack(entries))
  redis.call('ZREM', KEYS[2], unpack(members))
end
return #members
