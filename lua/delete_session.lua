#!lua flags=allow-oom
-- Delete a session with its process holds and its place in every index, damaged or not. Where the
-- id is lost with the damage, its binding stays for an audit to take out.
--
-- KEYS[1]  partition      {redisstore}:
-- KEYS[2]  entry          {redisstore}:entry:<session key>
-- ARGV[1]  token          names the call, for a repetition; '': none
-- ARGV[2]  keep_ms        how long the token is known
-- ARGV[3]  if_session_id  only if this is the session id; '': any
-- ARGV[4]  if_version     only if this is the version; '': any
-- Returns  '1': deleted; '0': no such session
-- Errors   CORRUPT (an index), STALE
-- Example  redis-cli --eval lua/delete_session.lua '{redisstore}:' '{redisstore}:entry:agent:main:telegram:dm:42'

local token, keep_ms = ARGV[1] or '', ARGV[2]
local if_session_id, if_version = ARGV[3] or '', ARGV[4] or ''

-- shared: names
local prefix, entry_key = KEYS[1], KEYS[2]
local session_key = string.sub(entry_key, #prefix + #'entry:' + 1)
local updated_at_index = prefix .. 'updated_at'
local session_ids_index = prefix .. 'session_ids'
local expiry_index = prefix .. 'expiry'
local active_index = prefix .. 'active'
-- end shared
-- shared: replay
-- A call that is repeated with its token gets its first answer again and changes nothing.
local op_key = prefix .. 'op:' .. token
local earlier = token ~= '' and redis.call('GET', op_key)
local function remember(answer)
  if token ~= '' then
    redis.call('SET', op_key, answer, 'PX', keep_ms)
  end
  return answer
end
-- end shared
if earlier then
  return earlier
end
-- shared: indexes
-- Scripts don't roll back: an index of a wrong type ends the script before its first write.
local function damaged_index(...)
  for _, index in ipairs({ ... }) do
    local kind = redis.call('TYPE', index).ok
    if kind ~= 'zset' and kind ~= 'none' then
      return redis.error_reply('CORRUPT ' .. index .. ' is damaged: it is a ' .. kind .. ', not a sorted set')
    end
  end
end
-- end shared

local exists, entry = redis.call('EXISTS', entry_key) == 1, { session_id = '', version = '' }
if redis.call('TYPE', entry_key).ok == 'hash' then
  local values = redis.call('HMGET', entry_key, 'session_id', 'version')
  entry.session_id, entry.version = values[1] or '', values[2] or ''
end
-- shared: conditions
if exists and if_session_id ~= '' and entry.session_id ~= if_session_id then
  return redis.error_reply('STALE session_id: it is ' .. entry.session_id .. ', not ' .. if_session_id)
end
if exists and if_version ~= '' and entry.version ~= if_version then
  return redis.error_reply('STALE version: it is ' .. entry.version .. ', not ' .. if_version)
end
-- end shared
local fault = damaged_index(updated_at_index, session_ids_index, expiry_index, active_index)
if fault then
  return fault
end

redis.call('ZREM', updated_at_index, session_key)
redis.call('ZREM', expiry_index, session_key)
redis.call('ZREM', active_index, session_key)
redis.call('UNLINK', entry_key, prefix .. 'holds:' .. session_key)
if entry.session_id ~= '' then
  redis.call('ZREM', session_ids_index, entry.session_id .. ' ' .. session_key)
end
if not exists then
  return '0'
end
return remember('1')
