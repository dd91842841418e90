#!lua flags=no-writes
-- One page of sessions, newest first. The next page begins after the last one's `score` and
-- `member`. What is touched between two pages may be missed or repeated.
--
-- KEYS[1]  partition     {redisstore}:
-- KEYS[2]  index         {redisstore}:updated_at
-- ARGV[1]  limit         sessions to look at, 1 to 1000
-- ARGV[2]  active_ms     only what was active in the last so many ms; '': all
-- ARGV[3]  after_score   where the page before ended; '': begin with the newest
-- ARGV[4]  after_member  likewise
-- ARGV[5]  only          suspended, resume_pending or active: only such; '': all
-- ARGV[6]  passed        how many more to pass over: pages that are asked for together
-- Returns  score and member to go on after, '' and '' at the end; then for each session its key and either {field, value ...} or what is wrong with it
-- Errors   CORRUPT (an index)
-- Example  redis-cli --eval lua/list_sessions.lua '{redisstore}:' '{redisstore}:updated_at' , 10 '' '' '' ''

local prefix, updated_at_index = KEYS[1], KEYS[2]
local limit, active_ms = tonumber(ARGV[1]), tonumber(ARGV[2])
local after_score, after_member, only, passed = ARGV[3] or '', ARGV[4] or '', ARGV[5] or '', tonumber(ARGV[6] or 0)
local active_index = prefix .. 'active'

-- shared: clock
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
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
-- shared: holds
-- Whether a live process holds the session. What can't be read, or lapses too late, counts as held: destructive paths fail safe.
local function is_held(lapses)
  return lapses and (type(lapses) == 'string' and tonumber(lapses) or math.huge) > now
end
-- end shared

local fault = damaged_index(updated_at_index, active_index)
if fault then
  return fault
end

-- By rank, which no number of equal scores makes slow. Has the last member moved, go on behind
-- all that are newer than it was.
local first = 0
if after_score ~= '' then
  if redis.call('ZSCORE', updated_at_index, after_member) == after_score then
    first = redis.call('ZREVRANK', updated_at_index, after_member) + 1
  else
    first = redis.call('ZCOUNT', updated_at_index, '(' .. after_score, '+inf')
  end
end

first = first + passed
local newest = redis.call('ZREVRANGE', updated_at_index, first, first + limit - 1, 'WITHSCORES')
local page = { newest[#newest] or '', newest[#newest - 1] or '' }
if #newest < 2 * limit then
  page = { '', '' }
end

local function wanted(session_key, flat)
  if only == '' or type(flat) ~= 'table' then
    return true
  elseif only == 'active' then
    return is_held(redis.call('ZSCORE', active_index, session_key))
  end
  for i = 1, #flat, 2 do
    if flat[i] == only then
      return flat[i + 1] == '1'
    end
  end
  return false
end

for i = 1, #newest, 2 do
  local session_key = newest[i]
  if active_ms and tonumber(newest[i + 1]) < now - active_ms then
    page[1], page[2] = '', ''
    break
  end
  local flat = redis.pcall('HGETALL', prefix .. 'entry:' .. session_key)
  if flat.err then
    if not string.find(tostring(flat.err), '^WRONGTYPE') then
      return flat
    end
    flat = 'it is not a hash'
  elseif #flat == 0 then
    flat = 'the index has it, but there is no entry'
  end
  if wanted(session_key, flat) then
    page[#page + 1], page[#page + 2] = session_key, flat
  end
end
return page
