#!lua
-- Take the mark of an interruption off a session.
--
-- KEYS[1]  partition      {redisstore}:
-- KEYS[2]  entry          {redisstore}:entry:<session key>
-- ARGV[1]  token          names the call, for a repetition; '': none
-- ARGV[2]  keep_ms        how long the token is known
-- ARGV[3]  if_session_id  only if this is the session id; '': any
-- ARGV[4]  if_version     only if this is the version; '': any
-- ARGV[5]  if_turn        only under this turn, '<token> <fence>'; '': any
-- Returns  '1': a mark was taken off; '0': there was none
-- Errors   CORRUPT, STALE, LOST
-- Example  redis-cli --eval lua/clear_resume_pending.lua '{redisstore}:' '{redisstore}:entry:agent:main:telegram:dm:42'

local token, keep_ms = ARGV[1] or '', ARGV[2]
local if_session_id, if_version, if_turn = ARGV[3] or '', ARGV[4] or '', ARGV[5] or ''

-- shared: names
local prefix, entry_key = KEYS[1], KEYS[2]
local session_key = string.sub(entry_key, #prefix + #'entry:' + 1)
local updated_at_index, expiry_index, active_index = prefix .. 'updated_at', prefix .. 'expiry', prefix .. 'active'
-- end shared
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
for _, field in ipairs(exists and { 'version', 'created_at', 'updated_at', 'session_id' } or {}) do
  if not entry[field] or field ~= 'session_id' and not is_whole(entry[field]) then
    return redis.error_reply('CORRUPT ' .. entry_key .. ' is damaged: field ' .. field
      .. (field == 'session_id' and ' is missing' or ' is not a whole number'))
  end
end
-- end shared
-- shared: lease
-- Whether a lease still runs. One that lapses later than any can counts as lapsed: the clock was set back.
local LONGEST_LEASE_MS = 300000
local function is_leased(lapses)
  lapses = tonumber(lapses or 0)
  return lapses > now and lapses <= now + LONGEST_LEASE_MS
end
-- end shared
-- shared: fence
-- Why the turn `<token> <fence>` may not write, or nil: its lease must run, for this very conversation,
-- and the lane must not have been bound anew since, not even to the same again.
local function refusal_of(turn_named, session_id)
  local turn = redis.call('HMGET', prefix .. 'turn:' .. session_key, 'token', 'fence', 'session_id', 'rebound')
  local lapses = redis.call('ZSCORE', prefix .. 'turns', session_key)
  if turn_named ~= (turn[1] or '') .. ' ' .. (turn[2] or '') or not is_leased(lapses) then
    return redis.error_reply('LOST the turn no longer has the lane ' .. session_key)
  elseif turn[3] ~= session_id or turn[4] then
    return redis.error_reply('STALE session_id: the lane was bound anew since the turn began with ' .. tostring(turn[3])
      .. ', it is now ' .. tostring(session_id))
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
local refusal = if_turn ~= '' and refusal_of(if_turn, entry.session_id)
if refusal then
  return refusal
end
-- end shared

if entry.resume_pending ~= '1' then
  return '0'
end
redis.call('HDEL', entry_key, 'resume_pending', 'resume_reason', 'last_resume_marked_at')
redis.call('HSET', entry_key, 'version', whole(entry.version + 1))
return remember('1')
