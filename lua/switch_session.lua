#!lua
-- Bind a lane to a given conversation, for example to go back to an earlier one. A lane that is
-- bound to it already stays untouched.
--
-- KEYS[1]  partition      {redisstore}:
-- KEYS[2]  entry          {redisstore}:entry:<session key>
-- ARGV[1]  session_id     the conversation
-- ARGV[2]  token          names the call, for a repetition; '': none
-- ARGV[3]  keep_ms        how long the token is known
-- ARGV[4]  if_session_id  only if this is the session id now; '': any
-- ARGV[5]  if_version     only if this is the version; '': any
-- ARGV[6]  rule_count     reset rules that follow, eight arguments each
-- ARGV[7]  ...            the rules
-- Returns  field, value, field, value ...; empty: no such session
-- Errors   CORRUPT, STALE, CLOCKSKEW
-- Example  redis-cli --eval lua/switch_session.lua '{redisstore}:' '{redisstore}:entry:agent:main:telegram:dm:42' , 20261101_090000_0123deadbeef '' 0 '' '' 0

local session_id = ARGV[1]
local token, keep_ms, if_session_id, if_version = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local rule_count, rules_at = tonumber(ARGV[6]), 7

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
if not exists or earlier then
  return flat
end
-- shared: conditions
if exists and if_session_id ~= '' and entry.session_id ~= if_session_id then
  return redis.error_reply('STALE session_id: it is ' .. entry.session_id .. ', not ' .. if_session_id)
end
if exists and if_version ~= '' and entry.version ~= if_version then
  return redis.error_reply('STALE version: it is ' .. entry.version .. ', not ' .. if_version)
end
-- end shared
if entry.session_id == session_id then
  return flat
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

local policy = policy_of(entry.platform, entry.chat_type)
local fault = policy.skewed or damaged_index(updated_at_index, session_ids_index, expiry_index)
if fault then
  return fault
end
remember('1')
return rebind(session_id, policy)
