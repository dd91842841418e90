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
if earlier then
  return reply
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
if not exists then
  return reply
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

-- shared: increments
-- Fields to write: activity, and what else is given; '' leaves a field as it is. (Nothing is written of an entry that is gone.)
local updated_at = math.max(now, entry.updated_at or 0)
local changes = { 'updated_at', whole(updated_at), 'version', whole((entry.version or 0) + 1) }
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
-- Write them, in the reply too.
local function write_changes()
  redis.call('HSET', entry_key, unpack(changes))
  for i = 1, #changes, 2 do
    entry[changes[i]] = changes[i + 1]
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
index_activity(due_at(policy, updated_at), updated_at)
write_changes()
return reply
