#!lua
-- After a crash: mark what a replica was busy with as interrupted, one batch a call. Sessions that
-- another replica handled last are passed over, unless it is named as dead; so are suspended and marked
-- ones, and those with a running turn, whose lease tells for itself.
--
-- KEYS[1]  partition     {redisstore}:
-- KEYS[2]  index         {redisstore}:updated_at
-- ARGV[1]  replica       whose sessions
-- ARGV[2]  since         ms since 1970: active since then; '': by max_age_ms
-- ARGV[3]  max_age_ms    active within so many ms; '': by since
-- ARGV[4]  limit         sessions to look at, 1 to 1000
-- ARGV[5]  after_score   where the batch before ended; '': begin
-- ARGV[6]  after_member  likewise
-- ARGV[7]  token         names the call, for a repetition; '': none
-- ARGV[8]  keep_ms       how long the token is known
-- ARGV[9]  ...           further replicas, which are dead
-- Returns  'since', ms, 'marked', number, 'after_score', score, 'after_member', session key; both '' at the end
-- Errors   BADARG, CORRUPT (the index)
-- Example  redis-cli --eval lua/suspend_recently_active.lua '{redisstore}:' '{redisstore}:updated_at' , gateway-1 '' 120000 100 '' ''

local prefix, updated_at_index = KEYS[1], KEYS[2]
local replica, since, max_age_ms, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local after_score, after_member = ARGV[5] or '', ARGV[6] or ''
local token, keep_ms = ARGV[7] or '', ARGV[8]
local lost_ones = { [replica] = true }
for i = 9, #ARGV do
  lost_ones[ARGV[i]] = true
end

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

since = since or (max_age_ms and now - max_age_ms)
if not since or not limit or limit < 1 or limit > 1000 then
  return redis.error_reply('BADARG suspend_recently_active needs since or max_age_ms, and a limit of 1 to 1000')
end
local fault = damaged_index(updated_at_index, prefix .. 'turns', prefix .. 'events')
if fault then
  return fault
end

-- Has the last member moved, look again at all that are not older than it was: marking twice
-- is not possible, missing one is not allowed.
local first
if after_score == '' then
  first = redis.call('ZCOUNT', updated_at_index, '-inf', '(' .. whole(since))
elseif redis.call('ZSCORE', updated_at_index, after_member) == after_score then
  first = redis.call('ZRANK', updated_at_index, after_member) + 1
else
  first = redis.call('ZCOUNT', updated_at_index, '-inf', '(' .. after_score)
end

redis.call('HGET', prefix .. 'meta', 'events') -- so that `announce` is refused it here, if at all
local marked = 0
local recent = redis.call('ZRANGE', updated_at_index, first, first + limit - 1, 'WITHSCORES')
for i = 1, #recent, 2 do
  local entry_key = prefix .. 'entry:' .. recent[i]
  local values = attempt('HMGET', entry_key, 'replica', 'suspended', 'resume_pending', 'version', 'session_id')
  if lost_ones[values[1] or ''] and values[2] ~= '1' and values[3] ~= '1' and is_whole(values[4])
    and not is_leased(redis.call('ZSCORE', prefix .. 'turns', recent[i])) then
    redis.call('HSET', entry_key, 'resume_pending', '1', 'resume_reason', 'restart_interrupted',
      'last_resume_marked_at', whole(now), 'version', whole(values[4] + 1))
    announce('resume_pending', 'session_key', recent[i], 'session_id', values[5] or '', 'reason', 'restart_interrupted')
    marked = marked + 1
  end
end

local last_score, last_member = recent[#recent] or '', recent[#recent - 1] or ''
if #recent < 2 * limit then
  last_score, last_member = '', ''
end
local report = { 'since', whole(since), 'marked', whole(marked), 'after_score', last_score, 'after_member', last_member }
if marked > 0 then
  remember(cjson.encode(report))
end
return report
