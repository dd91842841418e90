#!lua
-- Set the model that a session uses instead of the default, or clear it.
--
-- KEYS[1]  partition      {redisstore}:
-- KEYS[2]  entry          {redisstore}:entry:<session key>
-- ARGV[1]  model          '': none
-- ARGV[2]  provider       '': none
-- ARGV[3]  base_url       '': none
-- ARGV[4]  token          names the call, for a repetition; '': none
-- ARGV[5]  keep_ms        how long the token is known
-- ARGV[6]  if_session_id  only if this is the session id; '': any
-- ARGV[7]  if_version     only if this is the version; '': any
-- ARGV[8]  if_turn        only under this turn, '<token> <fence>'; '': any
-- Returns  '1': so it is now; '0': no such session
-- Errors   CORRUPT, STALE, LOST
-- Example  redis-cli --eval lua/set_model_override.lua '{redisstore}:' '{redisstore}:entry:agent:main:telegram:dm:42' , gpt-5 openai ''

local override = { override_model = ARGV[1], override_provider = ARGV[2], override_base_url = ARGV[3] }
local token, keep_ms = ARGV[4] or '', ARGV[5]
local if_session_id, if_version, if_turn = ARGV[6] or '', ARGV[7] or '', ARGV[8] or ''

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
-- The entry by field, a map as RESP3 has it, within `reply`: what is changed in it is answered. A damaged one ends the script.
redis.setresp(3)
local reply = redis.pcall('HGETALL', entry_key)
redis.setresp(2)
local entry = reply.map
local exists = entry and next(entry) ~= nil
local not_whole = exists and (not is_whole(entry.version) and 'version' or not is_whole(entry.created_at) and 'created_at'
  or not is_whole(entry.updated_at) and 'updated_at')
local damage = not entry and 'it is not a hash' or not_whole and 'field ' .. not_whole .. ' is not a whole number'
  or exists and not entry.session_id and 'field session_id is missing'
if damage then
  -- An error that says nothing of the entry, of permissions say, is told as it is.
  return not entry and not string.find(tostring(reply.err), '^WRONGTYPE') and reply or redis.error_reply('CORRUPT ' .. entry_key .. ' is damaged: ' .. damage)
end
-- end shared
-- shared: lease
-- Whether a lease still runs. One that lapses more than five minutes later than any can counts as lapsed: the clock was set back.
local LONGEST_LEASE_MS, FURTHEST_LEASE_MS = 300000, 600000
local function is_leased(lapses)
  lapses = tonumber(lapses or 0) or 0
  return lapses > now and lapses <= now + FURTHEST_LEASE_MS
end
-- end shared
-- shared: fence
-- Why the turn `<token> <fence>` may not write, or nil: its lease must run, for this very conversation,
-- and the lane must not have been bound anew since, not even to the same again. Then the turn, by field.
local function refusal_of(turn_named, session_id)
  redis.setresp(3)
  local turn = redis.call('HGETALL', prefix .. 'turn:' .. session_key).map
  redis.setresp(2)
  local lapses, refusal = redis.call('ZSCORE', prefix .. 'turns', session_key), nil
  if turn_named ~= (turn.token or '') .. ' ' .. (turn.fence or '') or not is_leased(lapses) then
    refusal = redis.error_reply('LOST the turn no longer has the lane ' .. session_key)
  elseif not session_id or turn.session_id ~= session_id or turn.rebound then
    refusal = redis.error_reply('STALE session_id: the lane was bound anew since the turn began with '
      .. tostring(turn.session_id) .. ', it is now ' .. tostring(session_id))
  end
  return refusal, turn
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

if not exists then
  return '0'
end
local changed = false
for field, value in pairs(override) do
  changed = changed or (entry[field] or '') ~= value
end
remember('1')
if changed then
  for field, value in pairs(override) do
    if value == '' then
      redis.call('HDEL', entry_key, field)
    else
      redis.call('HSET', entry_key, field, value)
    end
  end
  redis.call('HSET', entry_key, 'version', whole(entry.version + 1))
end
return '1'
