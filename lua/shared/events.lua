-- Tell of a change in the partition's stream. How many events it keeps is in its layout record.
local function announce(kind, ...)
  local kept = string.match(redis.call('HGET', prefix .. 'meta', 'events') or '', '^%d+$') or '10000'
  redis.call('XADD', prefix .. 'events', 'MAXLEN', '~', kept, '*', 'event', kind, ...)
end
