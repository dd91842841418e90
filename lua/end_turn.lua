#!lua flags=allow-oom
-- End a turn well: add to the counters, take off the flags that it has seen, remember its message as
-- done, and give the lane to the next in line. A turn whose session was reset or switched meanwhile
-- changes nothing of the new one. Also when memory is full, for it makes room.
--
-- KEYS[1]   partition        {redisstore}:
-- KEYS[2]   entry            {redisstore}:entry:<session key>
-- ARGV[1]   token            of the turn
-- ARGV[2]   fence            that it was given
-- ARGV[3]   keep_ms          how long the end is known, for a repetition
-- ARGV[4]   message_ttl_ms   how long the message is known as done
-- ARGV[5]   last_prompt      tokens of the last prompt; '': leave it
-- ARGV[6]   cost_status      how the cost was learned; '': leave it
-- ARGV[7]   increment_count  pairs of field and amount that follow the rules
-- ARGV[8]   rule_count       reset rules that follow, three arguments each
-- ARGV[9]   ...              the rules, then the increments
-- Returns  'ended' or 'stale': the session is another by now, '1': somebody waited and has the lane now, the partition of the session id's lock or '', the session id, {field, value ...}
-- Errors   LOST, CORRUPT, LIMIT, CLOCKSKEW
-- Example  redis-cli --eval lua/end_turn.lua '{redisstore}:' '{redisstore}:entry:agent:main:telegram:dm:42' , by-hand/0/1 1763810553123000 10000 86400000 1200 '' 1 0 output_tokens 250

local token, fence, keep_ms, message_ttl_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local last_prompt, cost_status, increment_count, rule_count, rules_at = ARGV[5], ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8]), 9

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
if earlier and earlier ~= 'abandoned' then
  local outcome, id_home, session_id = string.match(earlier, '^(%S+) (%S*) (.*)$')
  return { outcome, '', id_home, session_id, reply }
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
local refusal, turn = refusal_of(token .. ' ' .. fence, entry.session_id)
local is_stale = refusal and string.find(refusal.err, '^%-?STALE') ~= nil
if refusal and not is_stale then
  return refusal
end
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
change('last_prompt_tokens', last_prompt)
change('cost_status', cost_status)
local fault, due = not is_stale and add_increments(), nil
-- Functions that a turn mostly does without, as they cost: those of policies, and below those of who waits.
if rule_count > 0 and not is_stale and not fault then
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
  local policy = policy_of(entry.platform, entry.chat_type)
  fault, due = policy.skewed or damaged_index(updated_at_index), due_at(policy, updated_at)
end
if fault then
  return fault
end
local seen_key, waiter = prefix .. 'seen:' .. session_key, redis.call('LINDEX', prefix .. 'queue:' .. session_key, 0)
-- shared: handled
-- The messages that the turn was for, as ZADD takes them.
local handled = (turn.message_id or '') ~= '' and { now, turn.message_id } or {}
for field in pairs(turn.takes and turn or {}) do
  if string.sub(field, 1, 5) == 'also ' then
    handled[#handled + 1], handled[#handled + 2] = now, string.sub(field, 6)
  end
end
-- end shared
-- The first write does no harm if the next one finds a key of a wrong type, and ends the script.
if #handled > 0 then
  redis.call('ZREMRANGEBYSCORE', seen_key, '-inf', now - message_ttl_ms)
end
if not is_stale then
  index_activity(due, updated_at)
  write_changes()
  -- What the turn was told, and has seen, is told no more.
  if entry.was_auto_reset or entry.auto_reset_reason or entry.reset_had_activity or entry.is_fresh_reset or entry.previous_session_id
    or entry.resume_pending or entry.resume_reason or entry.last_resume_marked_at or entry.interruptions then
    local told = { 'was_auto_reset', 'auto_reset_reason', 'reset_had_activity', 'is_fresh_reset', 'previous_session_id',
      'resume_pending', 'resume_reason', 'last_resume_marked_at', 'interruptions' }
    redis.call('HDEL', entry_key, unpack(told))
    for _, field in ipairs(told) do
      entry[field] = nil
    end
  end
end
if #handled > 0 then
  redis.call('ZADD', seen_key, unpack(handled))
  redis.call('PEXPIRE', seen_key, message_ttl_ms)
end
remember((is_stale and 'stale ' or 'ended ') .. (turn.id_home or '') .. ' ' .. (turn.session_id or ''))
local handed = ''
if waiter then
-- shared: lane
-- The lane of a session key, as a place.
local function lane_of(session_key)
  return { hash = prefix .. 'turn:' .. session_key, queue = prefix .. 'queue:' .. session_key, index = prefix .. 'turns',
    member = session_key }
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
-- shared: grant
-- A place is what one turn at a time may have, a lane or a shared session id: `hash` tells of the
-- turn, `queue` who waits, `index` when the lease lapses. Free it, and give it to the first in line
-- who listens, with a short time to claim it. Who left a wake-up unread for that long does not listen, nor who has no token.
local CLAIM_MS = 2000
local function grant_next(place)
  redis.call('UNLINK', place.hash)
  local waiter = redis.call('LINDEX', place.queue, 0)
  while waiter do
    local token = string.match(waiter, '^%S*')
    local wake_key = prefix .. 'wake:' .. token
    local woken_at = redis.call('TYPE', wake_key).ok == 'list' and redis.call('LINDEX', wake_key, 0)
    if token ~= '' and (not woken_at or now - (tonumber(woken_at) or 0) < CLAIM_MS) then
      redis.call('HSET', place.hash, 'token', token, 'replica', string.match(token, '^[^/]*'))
      redis.call('ZADD', place.index, whole(now + CLAIM_MS), place.member)
      wake(waiter)
      return token
    end
    redis.call('LPOP', place.queue)
    redis.call('UNLINK', wake_key)
    waiter = redis.call('LINDEX', place.queue, 0)
  end
  redis.call('ZREM', place.index, place.member)
end
-- end shared
  handed = grant_next(lane_of(session_key)) and '1' or ''
else
  redis.call('UNLINK', prefix .. 'turn:' .. session_key)
  redis.call('ZREM', prefix .. 'turns', session_key)
end
return { is_stale and 'stale' or 'ended', handed, turn.id_home or '', turn.session_id or '', reply }
