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
-- ARGV[6]  if_turn        only under this turn, '<token> <fence>'; '': any
-- ARGV[7]  id_home        where its lock lives, of several partitions, once those are marked that are bound to it; '': not yet
-- ARGV[8]  rule_count     reset rules that follow, three arguments each
-- ARGV[9]  ...            the rules
-- Returns  field, value, field, value ...; empty: no such session; or 'share': share_session_id.lua first, in each partition, for others may be bound to it
-- Errors   CORRUPT, STALE, LOST, CLOCKSKEW
-- Example  redis-cli --eval lua/switch_session.lua '{redisstore}:' '{redisstore}:entry:agent:main:telegram:dm:42' , 20261101_090000_0123deadbeef '' 0 '' '' '' '' 0

local session_id = ARGV[1]
local token, keep_ms, if_session_id, if_version, if_turn = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local id_home, rule_count, rules_at = ARGV[7], tonumber(ARGV[8]), 9

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
if entry.session_id == session_id then
  return reply
end
-- shared: bindings
-- The hash of the session ids that end alike: from each session key that is bound to one of them, to that id.
local function ids_of(session_id)
  return prefix .. 'session_ids:' .. string.sub(session_id, -3)
end
-- end shared
-- shared: lanes
-- The session keys that are bound to an id, as the index has it. A hash of the index is read once a script: what the script
-- itself binds after that is not in it.
local lanes_read = {}
local function lanes_of(session_id)
  local ids = ids_of(session_id)
  if not lanes_read[ids] then
    local bound, lanes = redis.call('HGETALL', ids), {}
    for i = 1, #bound, 2 do
      local keys = lanes[bound[i + 1]] or {}
      keys[#keys + 1], lanes[bound[i + 1]] = bound[i], keys
    end
    lanes_read[ids] = lanes
  end
  return lanes_read[ids][session_id] or {}
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
-- shared: attempt
-- What a command says; {} where the key is of another type, for it was damaged by hand. Any other error, of permissions say,
-- is no answer: it ends the script. So the first attempt comes before the first write.
local function attempt(...)
  local answer = redis.pcall(...)
  local fault = type(answer) == 'table' and answer.err
  return fault and (string.find(tostring(fault), '^WRONGTYPE') and {} or redis.call(...)) or answer
end
-- end shared
-- shared: sharers
-- Where the lock of an id is that this lane is to be bound to; '': it needs none, for nobody else is bound to it. In several
-- partitions the caller tells where, once it has marked who may be bound to it elsewhere. Nil: others have to be marked first, by
-- share_session_id.lua. Asked for before the first write.
local function home_among(session_id, told)
  local home = ''
  for _, other in ipairs(lanes_of(session_id)) do
    local values = attempt('HMGET', prefix .. 'entry:' .. other, 'session_id', 'version', 'id_home')
    if other ~= session_key and values[1] == session_id and is_whole(values[2]) then
      home = values[3] and home and prefix or nil
    end
  end
  if string.find(prefix, '.', 1, true) then
    return home and told ~= '' and told or nil
  end
  return home
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
-- shared: stale
-- The turn that has the lane, by its key, or nil. It is stale once the lane is bound anew, even if it is to the same id again
-- one day: it gets the mark `rebound`. Asked for before the first write.
local function turn_here()
  local turn_key = prefix .. 'turn:' .. session_key
  return type(attempt('HGET', turn_key, 'fence')) == 'string' and turn_key or nil
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

local policy = policy_of(entry.platform, entry.chat_type)
local fault = policy.skewed or damaged_index(updated_at_index, expiry_index, prefix .. 'events', prefix .. 'turns',
  prefix .. 'locks', ids_of(entry.session_id), ids_of(session_id))
if fault then
  return fault
end
local stale_turn, home = turn_here(), home_among(session_id, id_home)
if not home then
  return { 'share' }
end
remember('1')
if stale_turn then
  redis.call('HSET', stale_turn, 'rebound', '1')
end
announce('switched', 'session_key', session_key, 'session_id', session_id, 'old_session_id', entry.session_id)
rebind(session_id, policy)
if home ~= '' then
  redis.call('HSET', entry_key, 'id_home', home)
end
return redis.call('HGETALL', entry_key)
