#!lua
-- Record activity: last activity, the prompt size, and counters by increment.
--
-- KEYS[1]   partition         {redisstore}:
-- KEYS[2]   entry             {redisstore}:entry:<session key>
-- ARGV[1]   token             names the call, for a repetition; '': none
-- ARGV[2]   keep_ms           how long the token is known
-- ARGV[3]   if_session_id     only if this is the session id; '': any
-- ARGV[4]   if_version        only if this is the version; '': any
-- ARGV[5]   if_turn           only under this turn, '<token> <fence>'; '': any
-- ARGV[6]   replica           who handles the message; '': leave it
-- ARGV[7]   last_prompt       tokens of the last prompt; '': leave it
-- ARGV[8]   cost_status       how the cost was learned; '': leave it
-- ARGV[9]   increment_count   pairs of field and amount that follow the rules
-- ARGV[10]  rule_count        reset rules that follow, three arguments each
-- ARGV[11]  ...               the rules, then the increments
-- Returns   field, value, field, value ...; empty: no such session
-- Errors    CORRUPT, STALE, LOST, LIMIT, CLOCKSKEW
-- Example   redis-cli --eval lua/update_session.lua '{redisstore}:' '{redisstore}:entry:agent:main:telegram:dm:42' , '' 0 '' '' '' '' 1200 '' 1 0 output_tokens 250

local token, keep_ms, if_session_id, if_version, if_turn = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local replica, last_prompt, cost_status = ARGV[6], ARGV[7], ARGV[8]
local increment_count, rule_count, rules_at = tonumber(ARGV[9]), tonumber(ARGV[10]), 11

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
if earlier then
  return flat
end
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
if not exists then
  return flat
end
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
-- shared: rules
-- Reset rules are `rule_count` times three arguments from `rules_at` on: kind (default, chat_type or
-- platform), name, and a policy. The last that fits holds; the most special stand last.
local function policy_of(platform, chat_type)
  local wanted = { default = '', chat_type = chat_type or 'dm', platform = platform or '' }
  local policy = 'none'
  for at = rules_at, rules_at + 3 * rule_count - 1, 3 do
    policy = wanted[ARGV[at]] == ARGV[at + 1] and ARGV[at + 2] or policy
  end
  return read_policy(policy)
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

-- shared: increments
-- Fields to write: activity, and what else is given; '' leaves a field as it is.
local updated_at = math.max(now, entry.updated_at)
local changes = { 'updated_at', whole(updated_at), 'version', whole(entry.version + 1) }
local function change(field, value)
  if value ~= '' then
    changes[#changes + 1], changes[#changes + 2] = field, value
  end
end
-- Counters grow by increments: `increment_count` pairs of field and amount that follow the rules.
local function add_increments()
  local first_increment = rules_at + 3 * rule_count
  for at = first_increment, first_increment + 2 * increment_count - 1, 2 do
    local field = ARGV[at]
    local count = entry[field] or '0'
    if not is_whole(count) then
      return redis.error_reply('CORRUPT ' .. entry_key .. ' is damaged: field ' .. field .. ' is not a whole number')
    end
    local sum = tonumber(count) + tonumber(ARGV[at + 1])
    if sum > 9007199254740991 then
      return redis.error_reply('LIMIT ' .. field .. ' would reach 2^53')
    end
    change(field, whole(sum))
  end
end
-- end shared

change('replica', replica)
change('last_prompt_tokens', last_prompt)
change('cost_status', cost_status)
local policy = policy_of(entry.platform, entry.chat_type)
local fault = add_increments() or policy.skewed or damaged_index(updated_at_index, expiry_index)
if fault then
  return fault
end

remember('1')
index_activity(policy, updated_at)
redis.call('HSET', entry_key, unpack(changes))
return redis.call('HGETALL', entry_key)
