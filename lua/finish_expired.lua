#!lua flags=allow-oom
-- Say what became of a claimed session. It counts only while the claim stands: new activity, a reset, or
-- the claim of another replica has ended it. None of it is activity.
--
-- KEYS[1]  partition   {redisstore}:
-- KEYS[2]  entry       {redisstore}:entry:<session key>
-- ARGV[1]  token       names the call, for a repetition; '': none
-- ARGV[2]  keep_ms     how long the token is known
-- ARGV[3]  claim       the token of the claim
-- ARGV[4]  session_id  what was finalized
-- ARGV[5]  outcome     'done', 'failed', or 'released': it was not begun, another may have it at once
-- ARGV[6]  error       why it failed
-- ARGV[7]  attempts    after so many tries it is marked, with the error
-- ARGV[8]  retry_ms    how long to wait before the next try
-- Returns  'finalized', 'given_up', 'retry', 'released', or 'stale': nothing was changed
-- Errors   CORRUPT
-- Example  redis-cli --eval lua/finish_expired.lua '{redisstore}:' '{redisstore}:entry:agent:main:telegram:dm:42' , '' 0 by-hand/0/1 20261122_112233_deadbeef0123 done '' 3 60000

local token, keep_ms, claim, session_id, outcome = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local error, attempts, retry_ms = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])

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
-- shared: events
-- Tell of a change in the partition's stream. How many events it keeps is in its layout record.
local function announce(kind, ...)
  local kept = string.match(redis.call('HGET', prefix .. 'meta', 'events') or '', '^%d+$') or '10000'
  redis.call('XADD', prefix .. 'events', 'MAXLEN', '~', kept, '*', 'event', kind, ...)
end
-- end shared

if not exists or entry.finalize_token ~= claim or entry.session_id ~= session_id then
  return 'stale'
end
local fault = damaged_index(expiry_index, prefix .. 'events')
if fault then
  return fault
end

local tries = is_whole(entry.finalize_tries) and tonumber(entry.finalize_tries) or 1
redis.call('HDEL', entry_key, 'finalize_token', 'finalize_tries', 'finalize_error')
local changes = { 'version', whole(entry.version + 1) }
local function change(field, value)
  changes[#changes + 1], changes[#changes + 2] = field, value
end
local answer, again_at
if outcome == 'done' then
  answer = 'finalized'
  change('expiry_finalized', '1')
  announce('finalized', 'session_key', session_key, 'session_id', session_id)
elseif outcome == 'released' then
  answer, again_at = 'released', now
  if tries > 1 then
    change('finalize_tries', whole(tries - 1))
  end
  if entry.finalize_error then
    change('finalize_error', entry.finalize_error)
  end
elseif tries < attempts then
  answer, again_at = 'retry', now + retry_ms
  change('finalize_tries', whole(tries))
  change('finalize_error', error)
else
  answer = 'given_up'
  change('expiry_finalized', '1')
  change('finalize_error', error)
  announce('finalized', 'session_key', session_key, 'session_id', session_id, 'error', error)
end
redis.call('HSET', entry_key, unpack(changes))
if again_at then
  redis.call('ZADD', expiry_index, whole(again_at), session_key)
else
  redis.call('ZREM', expiry_index, session_key)
end
return remember(answer)
