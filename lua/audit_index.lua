#!lua flags=allow-oom
-- Check one page of an index against the entries: members whose entry is gone, or bound to
-- another id, are reported, and taken out if asked.
--
-- KEYS[1]  partition  {redisstore}:
-- KEYS[2]  index      {redisstore}:updated_at, :expiry, :active, :turns, :session_ids or :locks
-- ARGV[1]  skip       rank to begin at
-- ARGV[2]  limit      members to look at, 1 to 1000
-- ARGV[3]  repair     '1': take out members without an entry
-- Returns  rank to go on at, '' at the end; then pairs of member and what is wrong
-- Errors   none: an index of a wrong type is reported like a member
-- Example  redis-cli --eval lua/audit_index.lua '{redisstore}:' '{redisstore}:session_ids' , 0 100 ''

local prefix, index = KEYS[1], KEYS[2]
local skip, limit, repair = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1'
local is_bindings, is_locks = index == prefix .. 'session_ids', index == prefix .. 'locks'

-- shared: whole
local function whole(number)
  return string.format('%.0f', number)
end
-- end shared
-- shared: indexes
-- Scripts don't roll back: a key of a wrong type ends the script before its first write.
local function damaged_index(...)
  for _, index in ipairs({ ... }) do
    local kind, wanted = redis.call('TYPE', index).ok, index == prefix .. 'events' and 'stream' or 'zset'
    if kind ~= wanted and kind ~= 'none' then
      return redis.error_reply('CORRUPT ' .. index .. ' is damaged: it is a ' .. kind .. ', not a '
        .. (wanted == 'zset' and 'sorted set' or wanted))
    end
  end
end
-- end shared

if damaged_index(index) then
  return { '', '', 'is not a sorted set' }
end

-- An id may hold spaces: the member is sound if it is bound at any of them.
local function is_bound(member)
  local space = string.find(member, ' ', 1, true)
  while space do
    local entry_key = prefix .. 'entry:' .. string.sub(member, space + 1)
    local session_id = redis.pcall('HGET', entry_key, 'session_id')
    if session_id == string.sub(member, 1, space - 1) then
      return true
    end
    space = string.find(member, ' ', space + 1, true)
  end
  return false
end

local members = redis.call('ZRANGE', index, skip, skip + limit - 1)
local answer, removed = { '' }, 0
for _, member in ipairs(members) do
  local problem
  if is_bindings then
    problem = not is_bound(member) and 'is bound by no entry'
  elseif is_locks then
    problem = redis.call('EXISTS', prefix .. 'lock:' .. member) == 0 and 'has no lock'
  else
    problem = redis.call('EXISTS', prefix .. 'entry:' .. member) == 0 and 'has no entry'
  end
  if problem then
    answer[#answer + 1], answer[#answer + 2] = member, problem
    if repair then
      redis.call('ZREM', index, member)
      removed = removed + 1
    end
  end
end
if #members == limit then
  answer[1] = whole(skip + limit - removed)
end
return answer
