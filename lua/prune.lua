#!lua flags=allow-oom
-- Remove one batch of sessions without activity since a cutoff, oldest first. Kept are those that
-- are suspended, held by a live process, in a running turn, or damaged. A sweep calls again with `skip` and `cutoff`
-- as returned, until `more` is 0: what is kept stays in front and is skipped by its rank.
--
-- KEYS[1]  partition    {redisstore}:
-- KEYS[2]  index        {redisstore}:updated_at
-- ARGV[1]  cutoff       ms since 1970: remove what was last active before; '': by max_age_ms
-- ARGV[2]  max_age_ms   remove what was last active longer ago than this; '': by cutoff
-- ARGV[3]  limit        how many entries to look at, 1 to 1000
-- ARGV[4]  skip         how many of the oldest to pass over: those that earlier batches kept
-- ARGV[5]  dry_run      '1': change nothing, and say what would be removed
-- ARGV[6]  token        names the call, for a repetition; '': none
-- ARGV[7]  keep_ms      how long the token is known
-- Returns  'cutoff', ms, 'more', '0' or '1', 'skip', number, 'scanned', number,
--          'repaired', number (index members without an entry taken out, scores put right),
--          'suspended', number kept, 'active', number kept, 'running', number kept, 'damaged', number kept,
--          'removed', {session key ...}
-- Errors   BADARG, CORRUPT (an index)
-- Example  redis-cli --eval lua/prune.lua '{redisstore}:' '{redisstore}:updated_at' , '' 7776000000 100 0 1

local prefix, updated_at_index = KEYS[1], KEYS[2]
local cutoff, max_age_ms = tonumber(ARGV[1]), tonumber(ARGV[2])
local limit, skip, dry_run = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5] == '1'
local token, keep_ms = ARGV[6] or '', ARGV[7]
local entry_prefix = prefix .. 'entry:'
local expiry_index = prefix .. 'expiry'
local active_index = prefix .. 'active'
local turns_index = prefix .. 'turns'
-- What every entry passes through has a short way there.
local call, pcall, find, tonumber = redis.call, redis.pcall, string.find, tonumber

-- shared: clock
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- end shared
-- shared: whole
local function whole(number)
  return string.format('%.0f', number)
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
-- shared: attempt
-- What a command says; {} where the key is of another type, for it was damaged by hand. Any other error, of permissions say,
-- is no answer: it ends the script. So the first attempt comes before the first write.
local function attempt(...)
  local answer = redis.pcall(...)
  local fault = type(answer) == 'table' and answer.err
  return fault and (string.find(tostring(fault), '^WRONGTYPE') and {} or redis.call(...)) or answer
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
-- shared: hold_times
-- Drop the holds that have lapsed, and score the session in the active set by the last that remains. A hold
-- that lapses later than any can counts from now, for the clock was set back; cut so, it is as long as the longest.
local LONGEST_HOLD_MS = 3600000
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

if not cutoff and max_age_ms and max_age_ms > 0 then
  cutoff = math.max(now - max_age_ms, 0)
end
if not cutoff or not limit or limit < 1 or limit > 1000 or not skip or skip < 0 then
  return redis.error_reply('BADARG prune needs a cutoff or a positive max_age_ms, a limit of 1 to 1000 and a skip of 0 or more')
end
local fault = damaged_index(updated_at_index, expiry_index, active_index, turns_index, prefix .. 'events')
if fault then
  return fault
end

local stale = call('ZCOUNT', updated_at_index, '-inf', '(' .. whole(cutoff))
local last = math.min(skip + limit, stale) - 1
local members = last >= skip and call('ZRANGE', updated_at_index, skip, last) or {}
local scanned, more = #members, stale > skip + limit

-- An index without any member need not be asked, nor is there anything to take out of it.
local present = {}
for _, index in ipairs(scanned > 0 and { updated_at_index, expiry_index, active_index, turns_index } or {}) do
  if call('EXISTS', index) == 1 then
    present[#present + 1], present[index] = index, true
  end
end
-- What an index says of each member.
local function scores(index)
  return present[index] and call('ZMSCORE', index, unpack(members)) or {}
end
local lapses, leases = scores(active_index), scores(turns_index)

local kept = { suspended = 0, active = 0, running = 0, damaged = 0 }
local removed, entries, session_ids, others, orphans, refreshed, far_held = {}, {}, {}, {}, {}, {}, {}
local count = 0
local function add_others(member)
  for _, kind in ipairs({ 'holds:', 'turn:', 'queue:' }) do
    others[#others + 1] = prefix .. kind .. member
  end
end
for i = 1, scanned do
  local member = members[i]
  local entry_key = entry_prefix .. member
  local values = pcall('HMGET', entry_key, 'updated_at', 'suspended', 'session_id')
  local updated_at = values[1]
  if values.err and not find(tostring(values.err), '^WRONGTYPE') then
    return values -- it says nothing of the entry
  end
  if not updated_at or #updated_at > 16 or not find(updated_at, '^%d+$') then
    if call('EXISTS', entry_key) == 1 then
      kept.damaged = kept.damaged + 1
    else
      orphans[#orphans + 1] = member
    end
  elseif tonumber(updated_at) >= cutoff then
    refreshed[#refreshed + 1] = updated_at
    refreshed[#refreshed + 1] = member
  elseif values[2] == '1' then
    kept.suspended = kept.suspended + 1
  elseif lapses[i] and is_held(lapses[i]) then
    kept.active = kept.active + 1
    if tonumber(lapses[i]) > now + LONGEST_HOLD_MS then
      far_held[#far_held + 1] = member
    end
  elseif leases[i] and is_leased(leases[i]) then
    kept.running = kept.running + 1
  else
    count = count + 1
    removed[count], entries[count], session_ids[count] = member, entry_key, values[3]
    if lapses[i] or leases[i] then
      add_others(member)
    end
  end
end

if count > 0 then
  call('HGET', prefix .. 'meta', 'events') -- so that `announce` is refused it here, if at all
end
local repaired = #orphans + #refreshed / 2
if dry_run then
  skip = skip + scanned
else
  skip = skip + kept.suspended + kept.active + kept.running + kept.damaged
  local gone = orphans
  if #orphans == 0 then
    gone = removed
  else
    for i = 1, #orphans do
      add_others(orphans[i])
    end
    for i = 1, count do
      orphans[#orphans + 1] = removed[i]
    end
  end
  for i = 1, count do
    -- An index of a wrong type has no binding to take out.
    if session_ids[i] then
      attempt('HDEL', ids_of(session_ids[i]), removed[i])
    end
  end
  if #gone > 0 then
    for _, index in ipairs(present) do
      call('ZREM', index, unpack(gone))
    end
  end
  if #others > 0 then
    call('UNLINK', unpack(others))
  end
  if count > 0 then
    call('UNLINK', unpack(entries))
    local told = {}
    for i = 1, count do
      told[2 * i - 1], told[2 * i] = 'session_key', removed[i]
    end
    announce('pruned', unpack(told))
  end
  if #refreshed > 0 then
    call('ZADD', updated_at_index, unpack(refreshed))
  end
  for _, member in ipairs(far_held) do
    if not damaged_index(prefix .. 'holds:' .. member) then
      settle_holds(member)
    end
  end
end

local report = {
  'cutoff', whole(cutoff), 'more', more and '1' or '0', 'skip', whole(skip), 'scanned', whole(scanned),
  'repaired', whole(repaired), 'suspended', whole(kept.suspended), 'active', whole(kept.active),
  'running', whole(kept.running), 'damaged', whole(kept.damaged), 'removed', removed,
}
if not dry_run and count + repaired > 0 then
  remember(cjson.encode(report))
end
return report
