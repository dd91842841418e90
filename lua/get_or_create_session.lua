#!lua
-- The session of a message: the one that is there, or a new one where there is none, where the
-- old one was suspended, where the reset policy says so, or where the caller asks for it.
--
-- KEYS[1]  partition     {redisstore}:
-- KEYS[2]  entry         {redisstore}:entry:<session key>
-- ARGV[1]  proposed_id   the id of a new session, and the name of this call: a repeated one is known by it
-- ARGV[2]  force_new     '1': a new session in any case
-- ARGV[3]  keep_ms       with force_new: how long the call is known; 0: a call by hand, never repeated
-- ARGV[4]  replica       who handles the message
-- ARGV[5]  freshness_ms  how long an interrupted session stays resumable; 0: for ever
-- ARGV[6]  rule_count    reset rules that follow, eight arguments each
-- ARGV[7]  ...           the rules, then the fields and values of a new entry
-- Returns  field, value, field, value ...
-- Errors   CORRUPT, CLOCKSKEW, NOLAYOUT: nobody has laid out this partition, or its data was flushed (not asked by hand)
-- Example  redis-cli --eval lua/get_or_create_session.lua '{redisstore}:' '{redisstore}:entry:agent:main:telegram:dm:42' , 20261122_112233_deadbeef0123 '' 0 by-hand 3600000 0 platform telegram chat_type dm chat_id 42

local proposed_id, force_new, keep_ms = ARGV[1], ARGV[2] == '1', ARGV[3]
local replica, freshness_ms = ARGV[4], tonumber(ARGV[5])
local rule_count, rules_at = tonumber(ARGV[6]), 7
local LONGEST_HOLD_MS = 3600000

-- shared: names
local prefix, entry_key = KEYS[1], KEYS[2]
local session_key = string.sub(entry_key, #prefix + #'entry:' + 1)
local updated_at_index = prefix .. 'updated_at'
local session_ids_index = prefix .. 'session_ids'
local expiry_index = prefix .. 'expiry'
local active_index = prefix .. 'active'
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
-- A repeated call finds what it did: the session that it made, or itself as the last to touch it.
local call_id = string.sub(proposed_id, -12)
if exists and (entry.session_id == proposed_id or entry.last_call == call_id) then
  return flat
end

local updated_at = math.max(now, tonumber(entry.updated_at or 0))
local function touched()
  local changed = { updated_at = whole(updated_at), version = whole(entry.version + 1), replica = replica, last_call = call_id }
  redis.call('HSET', entry_key, 'updated_at', changed.updated_at, 'version', changed.version, 'replica', replica,
    'last_call', call_id)
  for i = 1, #flat, 2 do
    local field = flat[i]
    flat[i + 1], changed[field] = changed[field] or flat[i + 1], nil
  end
  for field, value in pairs(changed) do
    flat[#flat + 1] = field
    flat[#flat + 1] = value
  end
  return flat
end

-- The common case, before all that it does not need: no policy, so nothing is due. The index that
-- matters least comes first; if either is of a wrong type, the entry is as it was.
if exists and not force_new and rule_count == 0 and entry.suspended ~= '1' then
  redis.call('ZREM', expiry_index, session_key)
  redis.call('ZADD', updated_at_index, whole(updated_at), session_key)
  return touched()
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
-- shared: holds
-- Whether a live process holds the session. What can't be read counts as held: destructive paths
-- fail safe. So does a hold that lapses later than any can: the clock was set back.
local function is_held(lapses)
  if not lapses then
    return false
  end
  local at = type(lapses) == 'string' and tonumber(lapses)
  return not at or at > now
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
-- shared: hold_times
-- Drop the holds that have lapsed, and score the session in the active set by the last that
-- remains. A hold that lapses later than any can counts from now: the clock was set back.
local function settle_holds(session_key)
  local holds_key = prefix .. 'holds:' .. session_key
  redis.call('ZREMRANGEBYSCORE', holds_key, '-inf', whole(now))
  local furthest = whole(now + LONGEST_HOLD_MS)
  for _, process_id in ipairs(redis.call('ZRANGEBYSCORE', holds_key, '(' .. furthest, '+inf')) do
    redis.call('ZADD', holds_key, furthest, process_id)
  end
  local last = redis.call('ZREVRANGE', holds_key, 0, 0, 'WITHSCORES')
  if last[2] then
    redis.call('ZADD', active_index, last[2], session_key)
  else
    redis.call('ZREM', active_index, session_key)
  end
end
-- end shared
-- shared: policy
-- Reset rules: `rule_count` times eight arguments from `rules_at` on: kind (default, chat_type or
-- platform), name, mode, idle_ms, and four daily boundaries (ms), two before now and two after.
-- The platform's rule goes before the chat type's, and that before the default. A server clock
-- outside the boundaries is an error: the caller's day is not ours.
local function policy_of(platform, chat_type)
  local wanted = { default = '', chat_type = chat_type or 'dm', platform = platform or '' }
  local weight = { default = 1, chat_type = 2, platform = 3 }
  local chosen, chosen_weight
  for at = rules_at, rules_at + 8 * rule_count - 1, 8 do
    local kind = ARGV[at]
    if wanted[kind] == ARGV[at + 1] and weight[kind] > (chosen_weight or 0) then
      chosen, chosen_weight = at, weight[kind]
    end
  end
  local policy = { mode = 'none' }
  if chosen then
    policy.mode = ARGV[chosen + 2]
  end
  if policy.mode == 'idle' or policy.mode == 'both' then
    policy.idle_ms = tonumber(ARGV[chosen + 3])
  end
  if policy.mode == 'daily' or policy.mode == 'both' then
    policy.resets = {}
    for i = 1, 4 do
      policy.resets[i] = tonumber(ARGV[chosen + 3 + i])
    end
    if now < policy.resets[1] or now >= policy.resets[4] then
      policy.skewed = redis.error_reply('CLOCKSKEW the server says ' .. whole(now) .. ' ms, outside the daily boundaries '
        .. whole(policy.resets[1]) .. ' to ' .. whole(policy.resets[4]) .. ' around the clock of the caller')
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
      if policy.resets[i] > updated_at then
        reset = policy.resets[i]
      end
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
end
-- end shared
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
  local lapses = reason and redis.pcall('ZSCORE', active_index, session_key)
  if not is_held(lapses) then
    return reason
  end
  local holds_key = prefix .. 'holds:' .. session_key
  if type(lapses) == 'string' and tonumber(lapses) > now + LONGEST_HOLD_MS and not damaged_index(holds_key) then
    settle_holds(session_key)
  end
end

local policy = policy_of(entry.platform, entry.chat_type)
local fault = policy.skewed or damaged_index(updated_at_index, expiry_index)
if fault then
  return fault
end
local reason = exists and not force_new and reset_reason(policy)
if exists and not force_new and not reason then
  index_activity(policy, updated_at)
  return touched()
end

fault = damaged_index(session_ids_index, active_index)
if fault then
  return fault
end
local op_key = prefix .. 'op:' .. proposed_id
if exists and force_new and keep_ms ~= '0' and not redis.call('SET', op_key, '1', 'NX', 'PX', keep_ms) then
  return flat
end
if not exists then
  if keep_ms ~= '0' and not is_laid_out() then
    return redis.error_reply('NOLAYOUT ' .. prefix .. 'meta is missing or says otherwise: open the store first')
  end
  redis.call('ZADD', session_ids_index, 0, proposed_id .. ' ' .. session_key)
  index_activity(policy, now)
  redis.call('HSET', entry_key, 'session_id', proposed_id, 'created_at', whole(now), 'updated_at', whole(now),
    'version', '1', 'replica', replica, unpack(ARGV, rules_at + 8 * rule_count))
  return redis.call('HGETALL', entry_key)
end
-- shared: rebind
-- Bind the lane to another conversation: what belonged to the old one goes, the rest stays.
local function rebind(new_id, policy, ...)
  redis.call('ZREM', session_ids_index, entry.session_id .. ' ' .. session_key)
  redis.call('ZADD', session_ids_index, 0, new_id .. ' ' .. session_key)
  local updated_at = math.max(now, tonumber(entry.updated_at))
  index_activity(policy, updated_at)
  redis.call('HDEL', entry_key, 'input_tokens', 'output_tokens', 'cache_read_tokens', 'cache_write_tokens',
    'total_tokens', 'last_prompt_tokens', 'estimated_cost_nanousd', 'cost_status', 'was_auto_reset',
    'auto_reset_reason', 'reset_had_activity', 'is_fresh_reset', 'expiry_finalized', 'suspended', 'resume_pending',
    'resume_reason', 'last_resume_marked_at', 'override_model', 'override_provider', 'override_base_url')
  redis.call('HSET', entry_key, 'session_id', new_id, 'created_at', whole(now), 'updated_at', whole(updated_at),
    'version', whole(entry.version + 1), ...)
  return redis.call('HGETALL', entry_key)
end
-- end shared

-- Whether the conversation that ends had any tokens.
local function had_activity()
  for _, field in ipairs({ 'total_tokens', 'last_prompt_tokens', 'input_tokens', 'output_tokens',
    'cache_read_tokens', 'cache_write_tokens' }) do
    if entry[field] and entry[field] ~= '0' then
      return true
    end
  end
  return false
end

local changed = { 'replica', replica }
if reason then
  changed = { 'replica', replica, 'was_auto_reset', '1', 'auto_reset_reason', reason }
  if had_activity() then
    changed[7], changed[8] = 'reset_had_activity', '1'
  end
end
return rebind(proposed_id, policy, unpack(changed))
