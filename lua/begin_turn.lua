#!lua
-- Begin a turn, the handling of one message: refuse one that is known, resolve the session, take the
-- lane's lease, and give out a fence, a number that only grows. While another turn has the lane: wait in
-- line, and begin again with the same token when woken; or be told who has it.
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
--          'full': too many wait; 'duplicate', 'done', 'running' or 'waiting', ms, replica;
--          'lapsed': recover_turns first; 'ended': this turn has ended, or was given up
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
local turn_key, queue_key, turns_index = prefix .. 'turn:' .. session_key, prefix .. 'queue:' .. session_key, prefix .. 'turns'
if redis.call('EXISTS', prefix .. 'op:' .. token) == 1 then
  return { 'ended' }
end
local turn = redis.call('HMGET', turn_key, 'token', 'fence', 'message_id', 'replica', 'created', 'reset_reason', 'also ' .. message_id)
local lapses = redis.call('ZSCORE', turns_index, session_key)
local queue, myself = redis.call('LRANGE', queue_key, 0, -1), token .. ' ' .. message_id
if turn[1] and not is_leased(lapses) or not turn[1] and queue[1] and queue[1] ~= myself then
  return { 'lapsed' }
elseif turn[1] == token and turn[2] then
  return { 'running', turn[2], whole(lapses), turn[5] or '', turn[6] or '', flat }
end
-- A message is reserved for as long as its turn runs or waits; then it is done, or free again.
local place, done_at = nil, message_id ~= '' and redis.call('ZSCORE', prefix .. 'seen:' .. session_key, message_id)
if done_at then
  return { 'duplicate', 'done', whole(done_at), '' }
elseif message_id ~= '' and turn[1] ~= token and (turn[3] == message_id or turn[7]) then
  return { 'duplicate', 'running', whole(lapses), turn[4] }
end
for i, waiter in ipairs(queue) do
  local named = string.find(waiter, ' ', 1, true)
  if waiter == myself then
    place = i
  elseif message_id ~= '' and string.sub(waiter, named + 1) == message_id then
    return { 'duplicate', 'waiting', '', string.match(waiter, '^[^/]+') }
  end
end
if turn[1] and turn[1] ~= token then
  local has_it = { whole(lapses), whole(lapses - now), turn[4] or '', whole(place or #queue + 1) }
  if not place and (queue_limit == 0 or #queue >= queue_limit) then
    return { queue_limit == 0 and 'busy' or 'full', unpack(has_it) }
  elseif not place then
    redis.call('RPUSH', queue_key, myself)
  end
  redis.call('UNLINK', prefix .. 'wake:' .. token)
  return { 'waiting', unpack(has_it) }
end
-- shared: policy
-- A reset policy as text: mode, idle_ms, and four daily boundaries (ms), two before now and two after,
-- as far as the mode needs them. A server clock outside them is an error: the caller's day is not ours.
local function read_policy(text)
  local words = {}
  for word in string.gmatch(text, '%S+') do
    words[#words + 1] = tonumber(word) or word
  end
  local policy = { mode = words[1], idle_ms = words[1] ~= 'daily' and words[2] or nil }
  if words[6] then
    policy.resets = { words[3], words[4], words[5], words[6] }
    if now < words[3] or now >= words[6] then
      policy.skewed = redis.error_reply('CLOCKSKEW the server says ' .. whole(now) .. ' ms, outside the daily boundaries '
        .. whole(words[3]) .. ' to ' .. whole(words[6]) .. ' around the clock of the caller')
    end
  end
  return policy
end
-- The first ms at which the policy resets a session that was last active at `updated_at`. Beyond
-- the last boundary (the clock was ahead) days are counted on; only the index is less exact then.
local function due_at(policy, updated_at)
  local due = policy.idle_ms and updated_at + policy.idle_ms + 1
  if policy.resets then
    local days_beyond = math.max(0, math.floor((updated_at - policy.resets[4]) / 86400000) + 1)
    local reset = policy.resets[4] + days_beyond * 86400000
    for i = 4, 1, -1 do
      reset = policy.resets[i] > updated_at and policy.resets[i] or reset
    end
    due = math.min(due or reset, reset)
  end
  return due
end
-- end shared
-- shared: touch
-- Index the entry under its new last activity, before the entry itself is written.
local function index_activity(policy, updated_at)
  redis.call('ZADD', updated_at_index, whole(updated_at), session_key)
  local due = due_at(policy, updated_at)
  if due then
    redis.call('ZADD', expiry_index, whole(due), session_key)
  else
    redis.call('ZREM', expiry_index, session_key)
  end
  -- What was finalized, or was about to be, lives on: it will be due anew.
  if entry.expiry_finalized or entry.finalize_tries then
    redis.call('HDEL', entry_key, 'expiry_finalized', 'finalize_token', 'finalize_tries', 'finalize_error')
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
-- Whether this partition was laid out as the caller believes. The tag of an only partition has no
-- dot; its record is the store's own, which may have been laid out anew with more.
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
  index_activity(policy, updated_at)
  redis.call('HDEL', entry_key, 'input_tokens', 'output_tokens', 'cache_read_tokens', 'cache_write_tokens', 'total_tokens', 'last_prompt_tokens',
    'estimated_cost_nanousd', 'cost_status', 'was_auto_reset', 'auto_reset_reason', 'reset_had_activity', 'is_fresh_reset', 'suspended', 'resume_pending',
    'resume_reason', 'last_resume_marked_at', 'interruptions', 'id_home', 'override_model', 'override_provider', 'override_base_url')
  redis.call('HSET', entry_key, 'session_id', new_id, 'created_at', whole(now), 'updated_at', whole(updated_at),
    'version', whole(entry.version + 1), 'previous_session_id', entry.session_id, ...)
  return redis.call('HGETALL', entry_key)
end
-- end shared
-- shared: touched
-- The entry touched: the reply is put together without reading it again.
local function touched(updated_at, ...)
  local fields = { 'updated_at', whole(updated_at), 'version', whole(entry.version + 1), 'replica', replica, ... }
  redis.call('HSET', entry_key, unpack(fields))
  flat = (entry.expiry_finalized or entry.finalize_tries) and redis.call('HGETALL', entry_key) or flat
  local changed = {}
  for i = 1, #fields, 2 do
    changed[fields[i]] = fields[i + 1]
  end
  for i = 1, #flat, 2 do
    flat[i + 1], changed[flat[i]] = changed[flat[i]] or flat[i + 1], nil
  end
  for field, value in pairs(changed) do
    flat[#flat + 1], flat[#flat + 2] = field, value
  end
  return flat
end
-- end shared
-- shared: resolve
-- Why the session is due for a reset, or nil. The policy is asked before the mark of an
-- interruption, and neither resets what a live process holds.
local function reset_reason(policy)
  if entry.suspended == '1' then
    return 'suspended'
  end
  local reason
  local updated_at = tonumber(entry.updated_at)
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
  return reason and not is_held(redis.pcall('ZSCORE', active_index, session_key)) and reason or nil
end
-- A new session in an empty lane, its origin from ARGV[fields_at] on.
local function created(policy, fields_at)
  redis.call('HSET', ids_of(proposed_id), session_key, proposed_id)
  index_activity(policy, now)
  redis.call('HSET', entry_key, 'session_id', proposed_id, 'created_at', whole(now), 'updated_at', whole(now),
    'version', '1', 'replica', replica, unpack(ARGV, fields_at))
  announce('created', 'session_key', session_key, 'session_id', proposed_id, 'replica', replica)
  return redis.call('HGETALL', entry_key)
end
-- A new session in the place of the old one; with a reason, it tells so until a turn has consumed that.
local function replaced(policy, reason)
  local told = reason and { 'was_auto_reset', '1', 'auto_reset_reason', reason } or {}
  for _, field in ipairs(reason and { 'total_tokens', 'last_prompt_tokens', 'input_tokens', 'output_tokens',
    'cache_read_tokens', 'cache_write_tokens' } or {}) do
    if (entry[field] or '0') ~= '0' then
      told[5], told[6] = 'reset_had_activity', '1'
    end
  end
  announce('reset', 'session_key', session_key, 'session_id', proposed_id, 'old_session_id', entry.session_id,
    'reason', reason or 'forced', 'replica', replica)
  return rebind(proposed_id, policy, 'replica', replica, unpack(told))
end
-- end shared
local policy, last_fence = read_policy(policy_text), redis.call('GET', prefix .. 'fence')
local reason = exists and not policy.skewed and reset_reason(policy)
local fault = policy.skewed or damaged_index(updated_at_index, expiry_index)
  or (not exists or reason) and damaged_index(prefix .. 'events', ids_of(proposed_id), exists and ids_of(entry.session_id) or nil)
if fault then
  return fault
elseif not exists and not is_laid_out() then
  return redis.error_reply('NOLAYOUT ' .. prefix .. 'meta is missing or says otherwise: open the store first')
end
local fence = math.max(is_whole(last_fence) and last_fence + 1 or 0, now * 1000)
redis.call('SET', prefix .. 'fence', whole(fence))
if not exists then
  flat = created(policy, fields_at)
elseif reason then
  flat = replaced(policy, reason)
else
  index_activity(policy, math.max(now, entry.updated_at))
  flat = touched(math.max(now, entry.updated_at))
end
if place then
  redis.call('LREM', queue_key, 1, myself)
end
local is_new = (not exists or reason) and '1' or ''
redis.call('HSET', turn_key, 'token', token, 'fence', whole(fence), 'replica', replica, 'message_id', message_id, 'session_id',
  is_new == '1' and proposed_id or entry.session_id, 'began_at', whole(now), 'created', is_new, 'reset_reason', reason or '',
  'id_home', is_new == '' and entry.id_home or '')
redis.call('ZADD', turns_index, whole(now + lease_ms), session_key)
return { 'running', whole(fence), whole(now + lease_ms), is_new, reason or '', flat }
