#!lua
-- Suspend a session: its next message starts a new one, and no prune removes it until then.
--
-- KEYS[1]  partition      {redisstore}:
-- KEYS[2]  entry          {redisstore}:entry:<session key>
-- ARGV[1]  token          names the call, for a repetition; '': none
-- ARGV[2]  keep_ms        how long the token is known
-- ARGV[3]  if_session_id  only if this is the session id; '': any
-- ARGV[4]  if_version     only if this is the version; '': any
-- Returns  '1': it is suspended; '0': no such session
-- Errors   CORRUPT, STALE
-- Example  redis-cli --eval lua/suspend_session.lua '{redisstore}:' '{redisstore}:entry:agent:main:telegram:dm:42'

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
-- shared: entry
-- The entry as it is: `flat` for the reply, `entry` by field. A damaged one ends the script here.
local flat = redis.pcall('HGETALL', entry_key)
if type(flat) ~= 'table' or flat.err then
  return redis.error_reply('CORRUPT ' .. entry_key .. ' is damaged: it is not a hash')
end
local exists, entry = #flat > 0, {}
for i = 1, #flat, 2 do
  entry[flat[i]] = flat[i + 1]
end
if exists then
  for _, field in ipairs({ 'version', 'created_at', 'updated_at' }) do
    if not is_whole(entry[field]) then
      return redis.error_reply('CORRUPT ' .. entry_key .. ' is damaged: field ' .. field .. ' is not a whole number')
    end
  end
  if not entry.session_id then
    return redis.error_reply('CORRUPT ' .. entry_key .. ' is damaged: field session_id is missing')
  end
end
-- end shared
-- shared: conditions
if exists and if_session_id ~= '' and entry.session_id ~= if_session_id then
  return redis.error_reply('STALE session_id: it is ' .. entry.session_id .. ', not ' .. if_session_id)
end
if exists and if_version ~= '' and entry.version ~= if_version then
  return redis.error_reply('STALE version: it is ' .. entry.version .. ', not ' .. if_version)
end
-- end shared

if not exists then
  return '0'
end
remember('1')
if entry.suspended ~= '1' then
  redis.call('HSET', entry_key, 'suspended', '1', 'version', whole(entry.version + 1))
end
return '1'
