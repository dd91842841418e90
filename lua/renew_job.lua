#!lua flags=allow-oom
-- Keep a job that is being done. A lease that has lapsed stays so: the next may have begun.
--
-- KEYS[1]  root      {redisstore}:
-- KEYS[2]  job       {redisstore}:job:<name>
-- ARGV[1]  token     who has it
-- ARGV[2]  lease_ms  as when it was taken
-- Returns  '1', or '0': it is lost
-- Errors   BADARG, none but WRONGTYPE besides
-- Example  redis-cli --eval lua/renew_job.lua '{redisstore}:' '{redisstore}:job:by-hand' , by-hand/0/1 30000

local job_key, token, lease_ms = KEYS[2], ARGV[1], tonumber(ARGV[2])

-- shared: clock
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- end shared
-- shared: whole
local function whole(number)
  return string.format('%.0f', number)
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

if not lease_ms or lease_ms < 1 or lease_ms > LONGEST_LEASE_MS then
  return redis.error_reply('BADARG lease_ms must be 1 to 300000')
end
local job = redis.call('HMGET', job_key, 'token', 'lapses_at')
if job[1] ~= token or not is_leased(job[2]) then
  return '0'
end
redis.call('HSET', job_key, 'lapses_at', whole(now + lease_ms))
return '1'
