#!lua flags=allow-oom
-- Check entries, their holds and their turns against the indexes, and put missing index members right if
-- asked. A turn that nothing would find again is made to look as if it had lapsed, so that it is found.
--
-- KEYS[1]  partition  {redisstore}:
-- KEYS[2]  index      {redisstore}:updated_at
-- ARGV[1]  repair     '1': add what is missing; an entry that is itself damaged is left alone
-- ARGV[2]  ...        session keys
-- Returns  pairs of session key and what is wrong
-- Errors   none: with an index of a wrong type, which audit_index.lua reports, nothing can be said
-- Example  redis-cli --eval lua/audit_entries.lua '{redisstore}:' '{redisstore}:updated_at' , '' agent:main:telegram:dm:42

local prefix, updated_at_index, repair = KEYS[1], KEYS[2], ARGV[1] == '1'
local active_index = prefix .. 'active'
local turns_index = prefix .. 'turns'

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
-- shared: lanes
-- The session keys that are bound to an id, as the index has it. A hash of the index is read once a script: what the script
-- itself binds after that is not in it.
local lanes_read = {}
local function lanes_of(session_id)
  local ids = ids_of(session_id)
  if not lanes_read[ids] then
    local bound, lanes = redis.call('HGETALL', ids), {}
    for i = 1, #bound, 2 do
      local keys = lanes[bound[i + 1]] or {}
      keys[#keys + 1], lanes[bound[i + 1]] = bound[i], keys
    end
    lanes_read[ids] = lanes
  end
  return lanes_read[ids][session_id] or {}
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

if damaged_index(updated_at_index, active_index, turns_index) then
  return {}
end

local NEEDED = { 'version', 'created_at', 'updated_at' }
local COUNTED = { 'input_tokens', 'output_tokens', 'cache_read_tokens', 'cache_write_tokens', 'total_tokens',
  'last_prompt_tokens', 'estimated_cost_nanousd', 'last_resume_marked_at' }

local function damage(entry_key)
  local kind = redis.call('TYPE', entry_key).ok
  if kind ~= 'hash' then
    return kind ~= 'none' and 'is a ' .. kind .. ', not a hash'
  end
  for _, field in ipairs(NEEDED) do
    if not is_whole(redis.call('HGET', entry_key, field)) then
      return 'field ' .. field .. ' is not a whole number'
    end
  end
  for _, field in ipairs(COUNTED) do
    local value = redis.call('HGET', entry_key, field)
    if value and not is_whole(value) then
      return 'field ' .. field .. ' is not a whole number'
    end
  end
  if not redis.call('HGET', entry_key, 'session_id') then
    return 'field session_id is missing'
  end
end

local faults = {}
local function report(session_key, problem)
  faults[#faults + 1], faults[#faults + 2] = session_key, problem
end

-- Whether another entry here is bound to an id.
local function is_shared(session_id, session_key)
  for _, other in ipairs(lanes_of(session_id)) do
    if other ~= session_key and attempt('HGET', prefix .. 'entry:' .. other, 'session_id') == session_id then
      return true
    end
  end
  return false
end

local function check_turn(session_key)
  local turn_key, queue_key = prefix .. 'turn:' .. session_key, prefix .. 'queue:' .. session_key
  local kind, queued = redis.call('TYPE', turn_key).ok, redis.call('TYPE', queue_key).ok
  local lapses = redis.call('ZSCORE', turns_index, session_key)
  local has_turn, has_queue, problem = kind == 'hash', queued == 'list', nil
  if not has_turn and kind ~= 'none' or not has_queue and queued ~= 'none' then
    problem = 'has a turn or a queue of a wrong type'
  elseif (has_turn or has_queue) and redis.call('EXISTS', prefix .. 'entry:' .. session_key) == 0 then
    problem = 'has a turn or a queue, but no entry'
  elseif has_queue and not has_turn then
    problem = 'has a queue, but no turn'
  elseif lapses and not has_turn then
    problem = 'is in the turns index, but has no turn'
  end
  if problem then
    report(session_key, problem)
    if repair then
      -- No more than a place is lost: who waits begins again by itself.
      redis.call('ZREM', turns_index, session_key)
      redis.call('UNLINK', turn_key, queue_key)
    end
  elseif has_turn and not lapses then
    report(session_key, 'has a turn, but is missing in the turns index')
    if repair then
      redis.call('ZADD', turns_index, 1, session_key)
    end
  end
end

for i = 2, #ARGV do
  local session_key = ARGV[i]
  local entry_key = prefix .. 'entry:' .. session_key
  local problem = damage(entry_key)
  if problem then
    report(session_key, problem)
  elseif redis.call('EXISTS', entry_key) == 1 then
    local values = redis.call('HMGET', entry_key, 'updated_at', 'session_id', 'id_home')
    local score = redis.call('ZSCORE', updated_at_index, session_key)
    if not score or tonumber(score) ~= tonumber(values[1]) then
      report(session_key, score and 'has another time in the updated_at index' or 'is missing in the updated_at index')
      if repair then
        redis.call('ZADD', updated_at_index, values[1], session_key)
      end
    end
    local ids = ids_of(values[2])
    -- One of a wrong type is reported by audit_keys.lua.
    local is_sound = not damaged_index(ids)
    if is_sound and redis.call('HGET', ids, session_key) ~= values[2] then
      report(session_key, 'is missing in the session_ids index')
      if repair then
        redis.call('HSET', ids, session_key, values[2])
      end
    elseif is_sound and not values[3] and is_shared(values[2], session_key) then
      -- What puts this right concerns all partitions: share_session_id.lua.
      report(session_key, 'shares its session id, but its turns would not exclude those of the others')
    end
  end
  check_turn(session_key)
  local holds_key = prefix .. 'holds:' .. session_key
  if damaged_index(holds_key) then
    report(session_key, 'has holds of a wrong type')
  else
    local last = redis.call('ZREVRANGE', holds_key, 0, 0, 'WITHSCORES')
    local lapses = redis.call('ZSCORE', active_index, session_key)
    if last[2] and not lapses then
      report(session_key, 'has holds, but is missing in the active set')
      if repair then
        redis.call('ZADD', active_index, last[2], session_key)
      end
    elseif lapses and not last[2] then
      report(session_key, 'is in the active set, but has no holds')
      if repair then
        redis.call('ZREM', active_index, session_key)
      end
    elseif lapses and tonumber(lapses) < tonumber(last[2]) then
      report(session_key, 'lapses in the active set before its last hold does')
      if repair then
        redis.call('ZADD', active_index, last[2], session_key)
      end
    end
  end
end
return faults
