#!lua
-- Begin a turn, the handling of one message: refuse one that is known, resolve the session, take the lane's lease, and give
-- out a fence, a number that only grows. While another turn has the lane: wait in line, and begin again when woken; or be told who has it.
--
-- KEYS[1]  partition     {redisstore}:
-- KEYS[2]  entry         {redisstore}:entry:<session key>
-- ARGV[1]  token         names the turn, <replica>/<process>/<turn>; the same again goes on where it was
-- ARGV[2]  message_id    the platform's id of the message; '': none, so it can't be known again
-- ARGV[3]  lease_ms      when the lease lapses unless it is renewed; at most 300000
-- ARGV[4]  queue_limit   how many may wait for the lane; 0: this turn does not wait
-- ARGV[5]  proposed_id   the id of a new session
-- ARGV[6]  replica       who handles the message
-- ARGV[7]  freshness_ms  how long an interrupted session stays resumable; 0: for ever
-- ARGV[8]  policy        the reset policy: none, idle MS, daily 0 and four boundaries (ms), both MS and those
-- ARGV[9]  ...           fields and values of a new entry
-- Returns  'running', fence, lapses (ms), '1': the session is new, reset reason, {field, value ...};
--          'waiting' or 'busy', lapses (ms), ms until then, replica that has the lane, place in line;
--          'full': too many wait; 'duplicate', 'done', 'running' or 'waiting', ms, replica; 'lapsed': recover_turns first;
--          'ended': this turn has ended, or was given up
-- Errors   CORRUPT, CLOCKSKEW, NOLAYOUT: nobody has laid out this partition, or its data was flushed
-- Example  redis-cli --eval lua/begin_turn.lua '{redisstore}:' '{redisstore}:entry:agent:main:telegram:dm:42' , by-hand/0/1 m-1 30000 0 20261122_112233_deadbeef0123 by-hand 3600000 none platform telegram chat_type dm chat_id 42

local token, message_id, lease_ms, queue_limit = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local proposed_id, replica, freshness_ms, policy_text, fields_at = ARGV[5], ARGV[6], tonumber(ARGV[7]), ARGV[8], 9
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
local turn_key, queue_key, turns_index = prefix .. 'turn:' .. session_key, prefix .. 'queue:' .. session_key, prefix .. 'turns'
if redis.call('EXISTS', prefix .. 'op:' .. token) == 1 then
  return { 'ended' }
end
redis.setresp(3)
local turn = redis.call('HGETALL', turn_key).map
redis.setresp(2)
local lapses = redis.call('ZSCORE', turns_index, session_key)
local queue, myself = redis.call('LRANGE', queue_key, 0, -1), token .. ' ' .. message_id
if turn.token and not is_leased(lapses) or not turn.token and queue[1] and queue[1] ~= myself then
  return { 'lapsed' }
elseif turn.token == token and turn.fence then
  return { 'running', turn.fence, whole(lapses), turn.created or '', turn.reset_reason or '', reply }
end
-- A message is reserved for as long as its turn runs or waits; then it is done, or free again.
local place, done_at = nil, message_id ~= '' and redis.call('ZSCORE', prefix .. 'seen:' .. session_key, message_id)
if done_at then
  return { 'duplicate', 'done', whole(done_at), '' }
elseif message_id ~= '' and turn.token ~= token and (turn.message_id == message_id or turn['also ' .. message_id]) then
  return { 'duplicate', 'running', whole(lapses), turn.replica }
end
for i, waiter in ipairs(queue) do
  if waiter == myself then
    place = i
  elseif message_id ~= '' and string.sub(waiter, string.find(waiter, ' ', 1, true) + 1) == message_id then
    return { 'duplicate', 'waiting', '', string.match(waiter, '^[^/]+') }
  end
end
if turn.token and turn.token ~= token then
  local has_it = { whole(lapses), whole(lapses - now), turn.replica or '', whole(place or #queue + 1) }
  if not place and #queue >= queue_limit then
    return { queue_limit == 0 and 'busy' or 'full', unpack(has_it) }
  elseif not place then
    redis.call('RPUSH', queue_key, myself)
  end
  redis.call('UNLINK', prefix .. 'wake:' .. token)
  return { 'waiting', unpack(has_it) }
end
local policy, reason, start_anew
-- shared: touch
-- Index the entry under its new last activity, and when it is due, if ever; before the entry itself is
-- written. The index that matters least comes first. (Redis writes whole numbers with all their digits.)
local function index_activity(due, updated_at)
  if due then
    redis.call('ZADD', expiry_index, due, session_key)
  else
    redis.call('ZREM', expiry_index, session_key)
  end
  redis.call('ZADD', updated_at_index, updated_at, session_key)
  -- What was finalized, or was about to be, lives on: it will be due anew.
  if entry.expiry_finalized or entry.finalize_tries then
    redis.call('HDEL', entry_key, 'expiry_finalized', 'finalize_token', 'finalize_tries', 'finalize_error')
    entry.expiry_finalized, entry.finalize_token, entry.finalize_tries, entry.finalize_error = nil, nil, nil, nil
  end
end
-- end shared
-- shared: plain
-- Whether the session plainly goes on, and until when: there is no mark on it, it is not due, and the caller
-- is not in another day. Told without the functions that decide in all other cases, for to make them costs.
local updated_at = math.max(now, entry.updated_at or 0)
local is_plain, due = exists and entry.suspended ~= '1' and entry.resume_pending ~= '1' and not entry.expiry_finalized
  and not entry.finalize_tries, nil
if is_plain and policy_text ~= 'none' then
  local idle_ms, day_began, day_ends = string.match(policy_text, '^%a+ (%d+) ?%d* ?(%d*) ?(%d*)')
  local idle, before = idle_ms == '0' and math.huge or idle_ms + 1, tonumber(entry.updated_at)
  day_began, day_ends = tonumber(day_began) or 0, tonumber(day_ends) or math.huge
  is_plain = day_began <= now and day_began <= before and now < before + idle and updated_at < day_ends
    and redis.call('TYPE', updated_at_index).ok == 'zset'
  due = math.min(day_ends, updated_at + idle)
end
-- end shared
if not is_plain then
-- shared: policy
-- A reset policy as text: mode, idle_ms, and four daily boundaries (ms), two before now and two after, as far as the mode
-- needs them. A server clock outside them is an error: the caller's day is not ours.
local function read_policy(text)
  local mode, idle_ms, b1, b2, b3, b4 = string.match(text, '^(%a+) ?(%d*) ?(%d*) ?(%d*) ?(%d*) ?(%d*)$')
  local policy = { mode = mode, idle_ms = mode ~= 'daily' and tonumber(idle_ms or '') or nil }
  if (b4 or '') ~= '' then
    policy.resets = { tonumber(b1), tonumber(b2), tonumber(b3), tonumber(b4) }
    if now < policy.resets[1] or now >= policy.resets[4] then
      policy.skewed = redis.error_reply('CLOCKSKEW the server says ' .. whole(now) .. ' ms, outside the daily boundaries ' .. b1
        .. ' to ' .. b4 .. ' around the clock of the caller')
    end
  end
  return policy
end
-- The first ms at which the policy resets a session that was last active at `updated_at`. Beyond
-- the last boundary (the clock was ahead) days are counted on; only the index is less exact then.
local function due_at(policy, updated_at)
  local due, resets = policy.idle_ms and updated_at + policy.idle_ms + 1, policy.resets
  if resets then
    local reset = resets[4] + math.max(0, math.floor((updated_at - resets[4]) / 86400000) + 1) * 86400000
    for i = 4, 1, -1 do
      reset = resets[i] > updated_at and resets[i] or reset
    end
    due = math.min(due or reset, reset)
  end
  return due
end
-- end shared
-- shared: events
-- Tell of a change in the partition's stream. How many events it keeps is in its layout record.
local function announce(kind, ...)
  local kept = string.match(redis.call('HGET', prefix .. 'meta', 'events') or '', '^%d+$') or '10000'
  redis.call('XADD', prefix .. 'events', 'MAXLEN', '~', kept, '*', 'event', kind, ...)
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
-- shared: holds
-- Whether a live process holds the session. What can't be read, or lapses too late, counts as held: destructive paths fail safe.
local function is_held(lapses)
  return lapses and (type(lapses) == 'string' and tonumber(lapses) or math.huge) > now
end
-- end shared
-- shared: layout
-- Whether this partition was laid out as the caller believes. The tag of an only partition has no dot; its record is the
-- store's own, which may have been laid out anew with more.
local function is_laid_out()
  local partitions = redis.call('HGET', prefix .. 'meta', 'partitions')
  return partitions and (partitions == '1') == (string.find(prefix, '.', 1, true) == nil)
end
-- end shared
-- shared: rebind
-- Bind the lane to another conversation: what belonged to the old one goes, the rest stays.
local function rebind(new_id, policy, ...)
  redis.call('HDEL', ids_of(entry.session_id), session_key)
  redis.call('HSET', ids_of(new_id), session_key, new_id)
  local updated_at = math.max(now, entry.updated_at)
  index_activity(due_at(policy, updated_at), updated_at)
  redis.call('HDEL', entry_key, 'input_tokens', 'output_tokens', 'cache_read_tokens', 'cache_write_tokens', 'total_tokens', 'last_prompt_tokens',
    'estimated_cost_nanousd', 'cost_status', 'was_auto_reset', 'auto_reset_reason', 'reset_had_activity', 'is_fresh_reset', 'suspended', 'resume_pending',
    'resume_reason', 'last_resume_marked_at', 'interruptions', 'id_home', 'override_model', 'override_provider', 'override_base_url')
  redis.call('HSET', entry_key, 'session_id', new_id, 'created_at', whole(now), 'updated_at', whole(updated_at),
    'version', whole(entry.version + 1), 'previous_session_id', entry.session_id, ...)
  return redis.call('HGETALL', entry_key)
end
-- end shared
-- shared: resolve
-- Why the session is due for a reset, or nil. The policy is asked before the mark of an interruption, and neither
-- resets what a live process holds.
local function reset_reason(policy)
  if entry.suspended == '1' then
    return 'suspended'
  end
  local reason, updated_at = nil, tonumber(entry.updated_at)
  if policy.idle_ms and now > updated_at + policy.idle_ms then
    reason = 'idle'
  elseif policy.resets then
    local latest = now >= policy.resets[3] and 3 or now >= policy.resets[2] and 2 or 1
    reason = updated_at < policy.resets[latest] and 'daily' or nil
  end
  if not reason and policy.mode ~= 'none' and entry.resume_pending == '1' and freshness_ms > 0 then
    local marked_at = is_whole(entry.last_resume_marked_at) and tonumber(entry.last_resume_marked_at) or updated_at
    reason = now - marked_at > freshness_ms and 'resume_pending_expired' or nil
  end
  return reason and not damaged_index(active_index) and not is_held(redis.call('ZSCORE', active_index, session_key)) and reason or nil
end
-- A new session in an empty lane, its origin from ARGV[fields_at] on.
local function created(policy, fields_at)
  redis.call('HSET', ids_of(proposed_id), session_key, proposed_id)
  index_activity(due_at(policy, now), now)
  redis.call('HSET', entry_key, 'session_id', proposed_id, 'created_at', whole(now), 'updated_at', whole(now),
    'version', '1', 'replica', replica, unpack(ARGV, fields_at))
  announce('created', 'session_key', session_key, 'session_id', proposed_id, 'replica', replica)
  return redis.call('HGETALL', entry_key)
end
-- A new session in the place of the old one; with a reason, it tells so until a turn has consumed that.
local function replaced(policy, reason)
  local told = reason and { 'was_auto_reset', '1', 'auto_reset_reason', reason } or {}
  local tokens = { 'total_tokens', 'last_prompt_tokens', 'input_tokens', 'output_tokens', 'cache_read_tokens', 'cache_write_tokens' }
  for _, field in ipairs(reason and tokens or {}) do
    if (entry[field] or '0') ~= '0' then
      told[5], told[6] = 'reset_had_activity', '1'
    end
  end
  announce('reset', 'session_key', session_key, 'session_id', proposed_id, 'old_session_id', entry.session_id,
    'reason', reason or 'forced', 'replica', replica)
  return rebind(proposed_id, policy, 'replica', replica, unpack(told))
end
-- end shared
  policy = read_policy(policy_text)
  reason = exists and not policy.skewed and reset_reason(policy)
  local fault = policy.skewed or damaged_index(updated_at_index, expiry_index) or (not exists or reason)
    and damaged_index(prefix .. 'events', ids_of(proposed_id), exists and ids_of(entry.session_id) or nil)
  if fault then
    return fault
  elseif not exists and not is_laid_out() then
    return redis.error_reply('NOLAYOUT ' .. prefix .. 'meta is missing or says otherwise: open the store first')
  end
  due, start_anew = due_at(policy, updated_at), not exists and created or reason and replaced
end
local fence = now * 1000 + time[2] % 1000
local last = redis.call('SET', prefix .. 'fence', fence, 'GET')
if is_whole(last) and tonumber(last) >= fence then
  fence = last + 1
  redis.call('SET', prefix .. 'fence', fence)
end
if start_anew then
  reply = start_anew(policy, reason or fields_at)
else
  index_activity(due, updated_at)
  entry.updated_at, entry.version, entry.replica = updated_at, entry.version + 1, replica -- numbers: to make text takes longer
  redis.call('HSET', entry_key, 'updated_at', entry.updated_at, 'version', entry.version, 'replica', replica)
end
if place then
  redis.call('LREM', queue_key, 1, myself)
end
local is_new, ends_at = start_anew and '1' or '', whole(now + lease_ms)
local told = start_anew and { 'created', is_new, 'reset_reason', reason or '' } or entry.id_home and { 'id_home', entry.id_home } or {}
redis.call('HSET', turn_key, 'token', token, 'fence', fence, 'replica', replica, 'message_id', message_id, 'session_id',
  start_anew and proposed_id or entry.session_id, 'began_at', now, unpack(told))
redis.call('ZADD', turns_index, ends_at, session_key)
return { 'running', whole(fence), ends_at, is_new, reason or '', reply }
