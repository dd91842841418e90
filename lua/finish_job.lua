#!lua flags=allow-oom
-- Give a job back: done, or, by a replica that stops in the middle, still to be done.
--
-- KEYS[1]  root   {redisstore}:
-- KEYS[2]  job    {redisstore}:job:<name>
-- ARGV[1]  token  who has it
-- ARGV[2]  done   '1': it is not due again before its interval has passed; '': the next may take it at once
-- Returns  '1', or '0': it was no longer this one's
-- Errors   none but WRONGTYPE
-- Example  redis-cli --eval lua/finish_job.lua '{redisstore}:' '{redisstore}:job:by-hand' , by-hand/0/1 1

local job_key, token, done = KEYS[2], ARGV[1], ARGV[2] == '1'

-- shared: clock
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- end shared
-- shared: whole
local function whole(number)
  return string.format('%.0f', number)
end
-- end shared

if redis.call('HGET', job_key, 'token') ~= token then
  return '0'
end
redis.call('HDEL', job_key, 'token', 'replica', 'lapses_at')
if done then
  redis.call('HSET', job_key, 'last_done_at', whole(now))
end
return '1'
