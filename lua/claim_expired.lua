#!lua
-- Claim sessions whose reset-policy deadline has passed, for a gateway to finalize. The policy is asked
-- again, and the index put right where it says otherwise; a session that a process holds or that is in a
-- turn is looked at when that lapses. The index then says when the claim ends. None of it is activity.
--
-- KEYS[1]  partition   {redisstore}:
-- KEYS[2]  index       {redisstore}:expiry
-- ARGV[1]  token       names the claim, and the call, for a repetition
-- ARGV[2]  keep_ms     how long the token is known
-- ARGV[3]  limit       sessions to look at, 1 to 100
-- ARGV[4]  claim_ms    a claim lapses after so long, 1 to 3600000
-- ARGV[5]  attempts    so many claims are made; then the session is marked, with the error
-- ARGV[6]  rule_count  reset rules that follow, three arguments each
-- ARGV[7]  ...         the rules
-- Returns  '1': there may be more, {session keys that are damaged}, {session keys that were given up}, then for each claimed session its key, {field, value ...}
-- Errors   BADARG, CORRUPT (an index), CLOCKSKEW
-- Example  redis-cli --eval lua/claim_expired.lua '{redisstore}:' '{redisstore}:expiry' , by-hand/0/1 10000 10 60000 3 1 default '' 'idle 86400000'

local prefix, expiry_index = KEYS[1], KEYS[2]
local token, keep_ms, limit, claim_ms = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local attempts, rule_count, rules_at = tonumber(ARGV[5]), tonumber(ARGV[6]), 7
local active_index, turns_index = prefix .. 'active', prefix .. 'turns'
local LONGEST_PAUSE_MS = 3600000

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
  local answer = { '1', {}, {} }
  for _, session_key in ipairs(cjson.decode(earlier)) do
    if attempt('HGET', prefix .. 'entry:' .. session_key, 'finalize_token') == token then
      answer[#answer + 1], answer[#answer + 2] = session_key, redis.call('HGETALL', prefix .. 'entry:' .. session_key)
    end
  end
  return answer
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
-- shared: holds
-- Whether a live process holds the session. What can't be read, or lapses too late, counts as held: destructive paths fail safe.
local function is_held(lapses)
  return lapses and (type(lapses) == 'string' and tonumber(lapses) or math.huge) > now
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
-- shared: events
-- Tell of a change in the partition's stream. How many events it keeps is in its layout record.
local function announce(kind, ...)
  local kept = string.match(redis.call('HGET', prefix .. 'meta', 'events') or '', '^%d+$') or '10000'
  redis.call('XADD', prefix .. 'events', 'MAXLEN', '~', kept, '*', 'event', kind, ...)
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

if not limit or limit < 1 or limit > 100 or not claim_ms or claim_ms < 1 or claim_ms > 3600000 or not attempts then
  return redis.error_reply('BADARG claim_expired needs a limit of 1 to 100, a claim_ms of 1 to 3600000 and attempts')
end
local fault = damaged_index(expiry_index, active_index, turns_index, prefix .. 'events')
if fault then
  return fault
end

-- What to do with a session: drop it from the index, look again later (at `at`), give it up, or claim it.
local function judge(session_key)
  local entry_key = prefix .. 'entry:' .. session_key
  local entry = attempt('HMGET', entry_key, 'version', 'updated_at', 'session_id', 'platform', 'chat_type',
    'expiry_finalized', 'finalize_token', 'finalize_tries', 'finalize_error')
  if not is_whole(entry[1]) or not is_whole(entry[2]) or not entry[3] then
    return redis.call('EXISTS', entry_key) == 0 and { verdict = 'drop' } or { verdict = 'damaged', at = now + LONGEST_PAUSE_MS }
  end
  local policy = policy_of(entry[4], entry[5])
  local due = entry[6] ~= '1' and due_at(policy, tonumber(entry[2]))
  if policy.skewed or not due then
    return { verdict = 'drop', skewed = policy.skewed }
  end
  local held_until = redis.call('ZSCORE', active_index, session_key)
  local leased_until = redis.call('ZSCORE', turns_index, session_key)
  if due > now then
    return { verdict = 'later', at = due }
  elseif is_held(held_until) then
    return { verdict = 'later', at = math.min(tonumber(held_until), now + LONGEST_PAUSE_MS) }
  elseif is_leased(leased_until) then
    return { verdict = 'later', at = tonumber(leased_until) }
  end
  local tries = is_whole(entry[8]) and tonumber(entry[8]) or 0
  return { verdict = tries < attempts and 'claim' or 'give up', at = now + claim_ms, tries = tries + 1, lapsed = entry[7],
    entry_key = entry_key, version = whole(entry[1] + 1), session_id = entry[3],
    error = entry[9] or 'the replica that tried was lost' }
end

local expired = redis.call('ZRANGEBYSCORE', expiry_index, '-inf', whole(now), 'LIMIT', 0, limit)
local plans = {}
for i, session_key in ipairs(expired) do
  plans[i] = judge(session_key)
  if plans[i].skewed then
    return plans[i].skewed
  end
end

local damaged, given_up, claimed, alone = {}, {}, {}, false
local answer = { #expired == limit and '1' or '', damaged, given_up }
for i, plan in ipairs(plans) do
  local session_key = expired[i]
  if plan.verdict == 'drop' then
    redis.call('ZREM', expiry_index, session_key)
  elseif plan.verdict == 'give up' then
    redis.call('ZREM', expiry_index, session_key)
    redis.call('HDEL', plan.entry_key, 'finalize_token', 'finalize_tries')
    redis.call('HSET', plan.entry_key, 'expiry_finalized', '1', 'finalize_error', plan.error, 'version', plan.version)
    announce('finalized', 'session_key', session_key, 'session_id', plan.session_id, 'error', plan.error)
    given_up[#given_up + 1] = session_key
  elseif plan.verdict ~= 'claim' then
    redis.call('ZADD', expiry_index, whole(plan.at), session_key)
    damaged[#damaged + 1] = plan.verdict == 'damaged' and session_key or nil
  elseif alone or plan.lapsed and #claimed > 0 then
    -- A claim that lapsed may have killed its replica: it gets one to itself, and drags no other along.
    answer[1] = '1'
  else
    alone = plan.lapsed
    redis.call('HSET', plan.entry_key, 'finalize_token', token, 'finalize_tries', whole(plan.tries), 'version', plan.version)
    redis.call('ZADD', expiry_index, whole(plan.at), session_key)
    claimed[#claimed + 1] = session_key
    answer[#answer + 1], answer[#answer + 2] = session_key, redis.call('HGETALL', plan.entry_key)
  end
end
if #claimed > 0 then
  remember(cjson.encode(claimed))
end
return answer
