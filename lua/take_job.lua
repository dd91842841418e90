#!lua flags=allow-oom
-- Take a job that one replica at a time does, if it is due and nobody has it. Who has it already takes it
-- again, for another lease. Also when memory is full: a prune makes room.
--
-- KEYS[1]  root         {redisstore}:
-- KEYS[2]  job          {redisstore}:job:<name>
-- ARGV[1]  token        names who takes it
-- ARGV[2]  replica      where that is
-- ARGV[3]  lease_ms     lapses unless it is renewed or finished, 1 to 300000
-- ARGV[4]  interval_ms  due so long after it was done last
-- Returns  'taken', 'held' (by another) or 'done', when to ask again (ms from now), the replica that has it or ''
-- Errors   BADARG, CORRUPT (the job)
-- Example  redis-cli --eval lua/take_job.lua '{redisstore}:' '{redisstore}:job:by-hand' , by-hand/0/1 by-hand 30000 3600000

local job_key = KEYS[2]
local token, replica, lease_ms, interval_ms = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

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
-- shared: lease
-- Whether a lease still runs. One that lapses more than five minutes later than any can counts as lapsed: the clock was set back.
local LONGEST_LEASE_MS, FURTHEST_LEASE_MS = 300000, 600000
local function is_leased(lapses)
  lapses = tonumber(lapses or 0) or 0
  return lapses > now and lapses <= now + FURTHEST_LEASE_MS
end
-- end shared

if not lease_ms or lease_ms < 1 or lease_ms > LONGEST_LEASE_MS or not interval_ms then
  return redis.error_reply('BADARG take_job needs a lease_ms of 1 to 300000 and an interval_ms')
end
local job = redis.pcall('HMGET', job_key, 'token', 'replica', 'lapses_at', 'last_done_at')
if job.err then
  return string.find(tostring(job.err), '^WRONGTYPE') and redis.error_reply('CORRUPT ' .. job_key .. ' is damaged: it is not a hash') or job
end
if job[1] ~= token then
  if job[1] and is_leased(job[3]) then
    return { 'held', whole(job[3] - now), job[2] or '' }
  end
  -- Done in the future, it was done before the clock was set back.
  local last_done_at = is_whole(job[4]) and tonumber(job[4])
  if not job[1] and last_done_at and last_done_at <= now and last_done_at + interval_ms > now then
    return { 'done', whole(last_done_at + interval_ms - now), '' }
  end
end
redis.call('HSET', job_key, 'token', token, 'replica', replica, 'lapses_at', whole(now + lease_ms))
return { 'taken', whole(lease_ms), replica }
