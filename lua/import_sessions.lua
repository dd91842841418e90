#!lua
-- Take in a batch of sessions from elsewhere. What is stored already stays, unless the row was
-- active later; a row keeps its own times, for importing is not activity.
--
-- KEYS[1]  partition   {redisstore}:
-- KEYS[2]  index       {redisstore}:updated_at
-- ARGV[1]  token       names the call, for a repetition; '': none
-- ARGV[2]  keep_ms     how long the token is known
-- ARGV[3]  rule_count  reset rules that follow, three arguments each
-- ARGV[4]  ...         the rules, then for each row: session key, number of fields, field, value ...; session_id, created_at and updated_at are needed
-- Returns  for each row 'created', 'updated', 'kept': what is stored is as new or newer, 'future': active more than ten years from now, or 'damaged': what is stored can't be compared
-- Errors   CORRUPT (an index), CLOCKSKEW, NOLAYOUT: nobody has laid out this partition, or its data was flushed (not asked by hand)
-- Example  redis-cli --eval lua/import_sessions.lua '{redisstore}:' '{redisstore}:updated_at' , '' 0 0 agent:main:telegram:dm:42 5 session_id 20261101_090000_0123deadbeef created_at 1793523600000 updated_at 1793523600000 platform telegram chat_id 42

local prefix, updated_at_index = KEYS[1], KEYS[2]
local token, keep_ms = ARGV[1], ARGV[2]
local rule_count, rules_at = tonumber(ARGV[3]), 4
local expiry_index = prefix .. 'expiry'
local is_only = not string.find(prefix, '.', 1, true)
local TEN_YEARS_MS = 315360000000

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
-- shared: attempt
-- What a command says; {} where the key is of another type, for it was damaged by hand. Any other error, of permissions say,
-- is no answer: it ends the script. So the first attempt comes before the first write.
local function attempt(...)
  local answer = redis.pcall(...)
  local fault = type(answer) == 'table' and answer.err
  return fault and (string.find(tostring(fault), '^WRONGTYPE') and {} or redis.call(...)) or answer
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
  return cjson.decode(earlier)
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
-- shared: layout
-- Whether this partition was laid out as the caller believes. The tag of an only partition has no dot; its record is the
-- store's own, which may have been laid out anew with more.
local function is_laid_out()
  local partitions = redis.call('HGET', prefix .. 'meta', 'partitions')
  return partitions and (partitions == '1') == (string.find(prefix, '.', 1, true) == nil)
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
-- shared: sharing
-- Mark all entries here that are bound to an id as sharing it, so that their turns take its lock too, and return them, each with
-- its turn. One that ran without the lock gets it, in an only partition; elsewhere the caller sees to that. Where another turn
-- that may still write has it, this one is stale: never two have it. All is read before the first write.
local function share(session_id, id_home)
  local sharers, lock_key, is_only = {}, prefix .. 'lock:' .. session_id, not string.find(prefix, '.', 1, true)
  local lock = attempt('HMGET', lock_key, 'token', 'session_key')
  local holder_key, lock_lapses = prefix .. 'turn:' .. (lock[2] or ''), redis.call('ZSCORE', prefix .. 'locks', session_id)
  local holder = attempt('HMGET', holder_key, 'token', 'rebound')
  local is_held = lock[1] and lock[1] == holder[1] and not holder[2] and is_leased(lock_lapses)
  for _, session_key in ipairs(lanes_of(session_id)) do
    local lane = { session_key = session_key, entry_key = prefix .. 'entry:' .. session_key, turn_key = prefix .. 'turn:' .. session_key }
    local values = attempt('HMGET', lane.entry_key, 'session_id', 'id_home', 'version')
    if values[1] == session_id and is_whole(values[3]) then
      local turn = attempt('HMGET', lane.turn_key, 'token', 'fence', 'session_id', 'id_home', 'rebound')
      lane.lapses = redis.call('ZSCORE', prefix .. 'turns', session_key)
      lane.runs = turn[2] and turn[3] == session_id and not turn[5] and is_leased(lane.lapses)
      lane.turn, lane.had_no_lock, lane.id_home, lane.version = turn, (turn[4] or '') == '', values[2], values[3]
      sharers[#sharers + 1] = lane
    end
  end
  for _, lane in ipairs(sharers) do
    local token = lane.turn[1]
    if lane.id_home ~= id_home then
      redis.call('HSET', lane.entry_key, 'id_home', id_home, 'version', whole(lane.version + 1))
    end
    if lane.runs then
      redis.call('HSET', lane.turn_key, 'id_home', id_home)
    end
    if lane.runs and lane.had_no_lock and is_only and is_held and lock[1] ~= token then
      redis.call('HSET', lane.turn_key, 'rebound', '1')
    elseif lane.runs and lane.had_no_lock and is_only then
      -- Who had it lost it, or was about to get it. A lock that was damaged by hand is nobody's: who wants it is told.
      attempt('HDEL', holder_key, 'going_to')
      attempt('HDEL', lock_key, 'fence')
      attempt('HSET', lock_key, 'token', token, 'session_key', lane.session_key, 'replica', string.match(token, '^[^/]+'))
      redis.call('ZADD', prefix .. 'locks', whole(lane.lapses), session_id)
      lock, is_held = lane.turn, true
    end
  end
  return sharers
end
-- end shared
-- shared: known_fields
local KNOWN_FIELDS = {
  'session_id', 'created_at', 'updated_at', 'version', 'platform', 'chat_type', 'display_name', 'replica',
  'last_call', 'id_home', 'interruptions', 'finalize_token', 'finalize_tries', 'finalize_error',
  'chat_id', 'chat_name', 'user_id', 'user_name', 'thread_id', 'chat_topic', 'user_id_alt', 'chat_id_alt', 'is_bot',
  'guild_id', 'parent_chat_id', 'message_id', 'profile', 'auto_thread_created', 'auto_thread_initial_name',
  'origin_platform', 'origin_chat_type', 'no_origin', 'no_display_name',
  'input_tokens', 'output_tokens', 'cache_read_tokens', 'cache_write_tokens', 'total_tokens', 'last_prompt_tokens',
  'estimated_cost_nanousd', 'cost_status', 'was_auto_reset', 'auto_reset_reason', 'reset_had_activity', 'previous_session_id',
  'is_fresh_reset', 'expiry_finalized', 'suspended', 'resume_pending', 'resume_reason', 'last_resume_marked_at',
  'override_model', 'override_provider', 'override_base_url',
}
-- end shared

if token ~= '' and not is_laid_out() then
  return redis.error_reply('NOLAYOUT ' .. prefix .. 'meta is missing or says otherwise: open the store first')
end
local fault = damaged_index(updated_at_index, expiry_index, prefix .. 'turns', prefix .. 'locks')
if fault then
  return fault
end
-- All is read before the first write: a read that the server refuses leaves everything as it was.
local rows, verdicts, planned = {}, {}, {}
-- What is stored of a session; nothing where it is damaged.
local function stored_of(session_key)
  local entry_key = prefix .. 'entry:' .. session_key
  local stored = attempt('HMGET', entry_key, 'updated_at', 'version', 'session_id')
  if stored[1] == false and not stored[3] then
    return redis.call('EXISTS', entry_key) == 0 and { updated_at = -1, version = 0 } or nil
  elseif is_whole(stored[1]) and is_whole(stored[2]) and stored[3] then
    return { updated_at = tonumber(stored[1]), version = stored[2], session_id = stored[3] }
  end
end
-- The fields that are further parts of long texts, among fields and their values.
local function parts_of(flat)
  local parts = {}
  for i = 1, #flat, 2 do
    parts[#parts + 1] = string.find(flat[i], '^[%l_]+ %d+$') and flat[i] or nil
  end
  return parts
end
local at = rules_at + 3 * rule_count
while at <= #ARGV do
  local fields, flat = {}, { unpack(ARGV, at + 2, at + 1 + 2 * ARGV[at + 1]) }
  for i = 1, #flat, 2 do
    fields[flat[i]] = flat[i + 1]
  end
  local row = { session_key = ARGV[at], fields = fields, flat = flat, policy = policy_of(fields.platform, fields.chat_type) }
  fault = row.policy.skewed or damaged_index(ids_of(fields.session_id))
  if fault then
    return fault
  end
  local updated_at, stored = tonumber(fields.updated_at), planned[row.session_key] or stored_of(row.session_key)
  local verdict = updated_at > now + TEN_YEARS_MS and 'future' or not stored and 'damaged'
    or stored.updated_at >= updated_at and 'kept' or stored.session_id and 'updated' or 'created'
  if verdict == 'created' or verdict == 'updated' then
    row.version, row.bound_to = stored.version + 1, stored.session_id
    row.parts = stored.parts or verdict == 'updated' and parts_of(redis.call('HGETALL', prefix .. 'entry:' .. row.session_key)) or {}
    planned[row.session_key] = { updated_at = updated_at, version = row.version, session_id = fields.session_id, parts = parts_of(flat) }
    rows[#rows + 1] = row
  end
  verdicts[#verdicts + 1] = verdict
  at = at + 2 + 2 * ARGV[at + 1]
end
if is_only and rows[1] then
  -- These are what `share` reads with, after the writes.
  redis.call('HGETALL', ids_of(''))
  redis.call('ZSCORE', prefix .. 'turns', rows[1].session_key)
end
for _, row in ipairs(rows) do
  local entry_key, fields = prefix .. 'entry:' .. row.session_key, row.fields
  if row.bound_to then
    attempt('HDEL', ids_of(row.bound_to), row.session_key)
  end
  redis.call('HSET', ids_of(fields.session_id), row.session_key, fields.session_id)
  redis.call('ZADD', updated_at_index, fields.updated_at, row.session_key)
  local due = due_at(row.policy, tonumber(fields.updated_at))
  if due then
    redis.call('ZADD', expiry_index, whole(due), row.session_key)
  else
    redis.call('ZREM', expiry_index, row.session_key)
  end
  redis.call('HSET', entry_key, 'version', whole(row.version), unpack(row.flat))
  if row.bound_to then
    -- What the row has not goes after all else is there: whatever ends the script, there is a whole entry.
    local gone = {}
    for i = 1, #KNOWN_FIELDS + #row.parts do
      local name = KNOWN_FIELDS[i] or row.parts[i - #KNOWN_FIELDS]
      gone[#gone + 1] = not fields[name] and name ~= 'version' and name or nil
    end
    redis.call('HDEL', entry_key, unpack(gone))
  end
end
-- Who shares an id now is seen when all rows are bound. Several partitions can't see it: there the rows say so themselves.
local shared = {}
for _, row in ipairs(is_only and rows or {}) do
  local session_id = row.fields.session_id
  if planned[row.session_key].session_id == session_id and #lanes_of(session_id) > 1 then
    redis.call('HSET', prefix .. 'entry:' .. row.session_key, 'id_home', prefix)
    shared[session_id] = true
  end
end
for session_id in pairs(shared) do
  share(session_id, prefix)
end
remember(cjson.encode(verdicts))
return verdicts
