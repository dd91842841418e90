#!lua flags=allow-oom
-- Delete a session with its process holds, its known messages and its place in every index, damaged or
-- not. A running turn is refused from then on, and those who wait begin again. Where the id is lost with
-- the damage, its binding stays for an audit to take out.
--
-- KEYS[1]  partition      {redisstore}:
-- KEYS[2]  entry          {redisstore}:entry:<session key>
-- ARGV[1]  token          names the call, for a repetition; '': none
-- ARGV[2]  keep_ms        how long the token is known
-- ARGV[3]  if_session_id  only if this is the session id; '': any
-- ARGV[4]  if_version     only if this is the version; '': any
-- ARGV[5]  if_turn        only under this turn, '<token> <fence>'; '': any
-- Returns  '1': deleted; '0': no such session
-- Errors   CORRUPT (an index), STALE, LOST
-- Example  redis-cli --eval lua/delete_session.lua '{redisstore}:' '{redisstore}:entry:agent:main:telegram:dm:42'

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

local exists, entry = redis.call('EXISTS', entry_key) == 1, { session_id = '', version = '' }
if redis.call('TYPE', entry_key).ok == 'hash' then
  local values = redis.call('HMGET', entry_key, 'session_id', 'version')
  entry.session_id, entry.version = values[1] or '', values[2] or ''
end
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
-- shared: attempt
-- What a command says; {} where the key is of another type, for it was damaged by hand. Any other error, of permissions say,
-- is no answer: it ends the script. So the first attempt comes before the first write.
local function attempt(...)
  local answer = redis.pcall(...)
  local fault = type(answer) == 'table' and answer.err
  return fault and (string.find(tostring(fault), '^WRONGTYPE') and {} or redis.call(...)) or answer
end
-- end shared
-- shared: wake
-- Wake one who waits: a hint to begin again, dropped where an earlier one is unread.
local function wake(waiter)
  local wake_key = prefix .. 'wake:' .. string.match(waiter, '^%S*')
  if redis.call('EXISTS', wake_key) == 0 then
    redis.call('RPUSH', wake_key, whole(now))
    redis.call('PEXPIRE', wake_key, 60000)
  end
end
-- end shared
-- shared: events
-- Tell of a change in the partition's stream. How many events it keeps is in its layout record.
local function announce(kind, ...)
  local kept = string.match(redis.call('HGET', prefix .. 'meta', 'events') or '', '^%d+$') or '10000'
  redis.call('XADD', prefix .. 'events', 'MAXLEN', '~', kept, '*', 'event', kind, ...)
end
-- end shared
local turns_index, queue_key = prefix .. 'turns', prefix .. 'queue:' .. session_key
local fault = damaged_index(updated_at_index, expiry_index, active_index, turns_index, prefix .. 'events', ids_of(entry.session_id))
if fault then
  return fault
end

redis.call('HGET', prefix .. 'meta', 'events') -- so that `announce` is refused it here, if at all
local waiters = attempt('LRANGE', queue_key, 0, -1)
for _, index in ipairs({ updated_at_index, expiry_index, active_index, turns_index }) do
  redis.call('ZREM', index, session_key)
end
for _, waiter in ipairs(waiters) do
  wake(waiter)
end
redis.call('UNLINK', entry_key, prefix .. 'holds:' .. session_key, prefix .. 'turn:' .. session_key, queue_key,
  prefix .. 'seen:' .. session_key)
if entry.session_id ~= '' then
  redis.call('HDEL', ids_of(entry.session_id), session_key)
end
if not exists then
  return '0'
end
announce('deleted', 'session_key', session_key, 'session_id', entry.session_id)
return remember('1')
