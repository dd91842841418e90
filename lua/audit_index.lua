#!lua flags=allow-oom
-- Check one page of an index against the entries: members whose entry is gone are reported, and
-- taken out if asked. Locks that have lapsed long ago are reported; recover_turns.lua tells who is to drop them.
--
-- KEYS[1]  partition  {redisstore}:
-- KEYS[2]  index      {redisstore}:updated_at, :expiry, :active, :turns or :locks
-- ARGV[1]  skip       rank to begin at
-- ARGV[2]  limit      members to look at, 1 to 1000
-- ARGV[3]  repair     '1': take out members without an entry
-- Returns  rank to go on at, '' at the end; then pairs of member and what is wrong
-- Errors   none: an index of a wrong type is reported like a member
-- Example  redis-cli --eval lua/audit_index.lua '{redisstore}:' '{redisstore}:expiry' , 0 100 ''

local prefix, index = KEYS[1], KEYS[2]
local skip, limit, repair = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1'
local is_locks = index == prefix .. 'locks'
local LATE, A_MINUTE_MS = 'has a lock that lapsed more than a minute ago, and that nobody has dropped', 60000

-- shared: clock
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- end shared
-- shared: whole
local function whole(number)
  return string.format('%.0f', number)
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

if damaged_index(index) then
  return { '', '', 'is not a sorted set' }
end

local members = redis.call('ZRANGE', index, skip, skip + limit - 1)
local answer, removed = { '' }, 0
for _, member in ipairs(members) do
  local problem, is_late
  if is_locks then
    local lapses = tonumber(redis.call('ZSCORE', index, member))
    problem = redis.call('EXISTS', prefix .. 'lock:' .. member) == 0 and 'has no lock'
    is_late = not problem and lapses < now - A_MINUTE_MS and LATE
  else
    problem = redis.call('EXISTS', prefix .. 'entry:' .. member) == 0 and 'has no entry'
  end
  if problem or is_late then
    answer[#answer + 1], answer[#answer + 2] = member, problem or is_late
    if problem and repair then
      redis.call('ZREM', index, member)
      removed = removed + 1
    end
  end
end
if #members == limit then
  answer[1] = whole(skip + limit - removed)
end
return answer
