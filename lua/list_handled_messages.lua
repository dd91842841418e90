#!lua flags=no-writes
-- The messages that sessions have handled, the latest first. A full answer may have left some out: they are asked for
-- with `skip`. What is forgotten meanwhile is at the other end, so that none is missed.
--
-- KEYS[1]  partition  {redisstore}:
-- KEYS[2]  index      {redisstore}:updated_at
-- ARGV[1]  limit      how many messages to answer at most, of all sessions together
-- ARGV[2]  skip       how many of the first session to pass over: those answered before
-- ARGV[3]  ...        session keys
-- Returns  for each session, until the limit is reached, {message id, when it was done (ms), message id ...}, or 'damaged'
-- Errors   none: what is of a wrong type is answered as such
-- Example  redis-cli --eval lua/list_handled_messages.lua '{redisstore}:' '{redisstore}:updated_at' , 500 0 agent:main:telegram:dm:42

local prefix, limit, skip = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])

local answer, left = {}, limit
for i = 3, #ARGV do
  if left <= 0 then
    break
  end
  local seen_key, found = prefix .. 'seen:' .. ARGV[i], {}
  local kind = redis.call('TYPE', seen_key).ok
  if kind == 'zset' then
    found = redis.call('ZREVRANGE', seen_key, skip, skip + left - 1, 'WITHSCORES')
    left = left - #found / 2
  elseif kind ~= 'none' then
    found = 'damaged'
  end
  answer[#answer + 1], skip = found, 0
end
return answer
