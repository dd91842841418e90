#!lua flags=allow-oom
-- Check keys that no index and no session tells of: what type they are, that what is short-lived has
-- a TTL, that the locks of shared session ids are indexed, and that session ids lead to sessions that are
-- bound to them. What can be put right safely is, if asked.
--
-- KEYS[1]  partition  {redisstore}:
-- KEYS[2]  index      {redisstore}:updated_at
-- ARGV[1]  repair     '1': index a lock, drop the queue of none, give a TTL of a day, take out what leads nowhere
-- ARGV[2]  ...        names of keys, without the partition
-- Returns  pairs of key, without the partition, and what is wrong
-- Errors   none: what is of a wrong type is reported
-- Example  redis-cli --eval lua/audit_keys.lua '{redisstore}:' '{redisstore}:updated_at' , '' fence events seen:agent:main:telegram:dm:42 lock:20261122_112233_deadbeef0123 session_ids:123

local prefix, repair = KEYS[1], ARGV[1] == '1'
local locks_index = prefix .. 'locks'
local TYPES = { events = 'stream', fence = 'string', job = 'hash', lock = 'hash', lock_queue = 'list', meta = 'hash',
  op = 'string', replica = 'hash', replicas = 'zset', seen = 'zset', session_ids = 'hash', wake = 'list' }
local HAS_TTL = { op = true, seen = true, wake = true }
local A_DAY_MS = 86400000

-- shared: clock
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- end shared
-- shared: whole
local function whole(number)
  return string.format('%.0f', number)
end
-- end shared
-- shared: is_whole
local function is_whole(text)
  return text and #text <= 16 and string.find(text, '^%d+$') ~= nil
end
-- end shared
-- shared: attempt
-- What a command says; {} where the key is of another type, for it was damaged by hand. Any other error, of permissions say,
-- is no answer: it ends the script. So the first attempt comes before the first write.
local function attempt(...)
  local answer = redis.pcall(...)
  local fault = type(answer) == 'table' and answer.err
  return fault and (string.find(tostring(fault), '^WRONGTYPE') and {} or redis.call(...)) or answer
end
-- end shared
-- shared: bindings
-- The hash of the session ids that end alike: from each session key that is bound to one of them, to that id.
local function ids_of(session_id)
  return prefix .. 'session_ids:' .. string.sub(session_id, -3)
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

local faults = {}
local function report(name, problem)
  faults[#faults + 1], faults[#faults + 2] = name, problem
end
local function spoken(kind)
  return kind == 'zset' and 'sorted set' or kind
end

local function check_bindings(name, key)
  local bound = redis.call('HGETALL', key)
  for i = 1, #bound, 2 do
    local session_key, session_id = bound[i], bound[i + 1]
    if ids_of(session_id) ~= key or attempt('HGET', prefix .. 'entry:' .. session_key, 'session_id') ~= session_id then
      report(name .. ' member ' .. session_key, 'is bound by no entry')
      if repair then
        redis.call('HDEL', key, session_key)
      end
    end
  end
end

local function check(name)
  local kind, of = string.match(name, '^([^:]+):?(.*)$')
  local key, wanted = prefix .. name, TYPES[kind]
  local found = redis.call('TYPE', key).ok
  if found == 'none' then
    return
  elseif found ~= wanted then
    report(name, 'is a ' .. spoken(found) .. ', not a ' .. spoken(wanted))
  elseif kind == 'session_ids' then
    check_bindings(name, key)
  elseif HAS_TTL[kind] and redis.call('PTTL', key) == -1 then
    report(name, 'has no TTL')
    if repair then
      redis.call('PEXPIRE', key, A_DAY_MS)
    end
  elseif kind == 'fence' and not is_whole(redis.call('GET', key)) then
    report(name, 'is not a whole number')
  elseif kind == 'lock' and not damaged_index(locks_index) and not redis.call('ZSCORE', locks_index, of) then
    report(name, 'is missing in the locks index')
    if repair then
      redis.call('ZADD', locks_index, whole(now), of)
    end
  elseif kind == 'lock_queue' and redis.call('EXISTS', prefix .. 'lock:' .. of) == 0 then
    report(name, 'waits for a lock that nobody has')
    if repair then
      redis.call('UNLINK', key)
    end
  end
end

for i = 2, #ARGV do
  check(ARGV[i])
end
return faults
