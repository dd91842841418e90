#!lua flags=allow-oom
-- Renew the leases of running turns. One that has lapsed stays so, whoever asks: its holder was away
-- for longer than it may be. Also when memory is full. A turn that was given a larger fence, with the lock of its session id,
-- says so: its lane goes on from that.
--
-- KEYS[1]  partition  {redisstore}:
-- KEYS[2]  index      {redisstore}:turns
-- ARGV[1]  lease_ms   when the leases lapse unless they are renewed again; at most 300000
-- ARGV[2]  ...        four for each turn: session key, token, fence, and the fence of its lock, or 0
-- Returns  the server's time (us), then for each turn: when its lease lapses (ms) or 'lost', its session id, and the partition of that id's lock, or ''
-- Errors   BADARG
-- Example  redis-cli --eval lua/renew_turns.lua '{redisstore}:' '{redisstore}:turns' , 30000 agent:main:telegram:dm:42 by-hand/0/1 1763810553123000 0

local prefix, turns_index, lease_ms = KEYS[1], KEYS[2], tonumber(ARGV[1])

-- shared: clock
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- end shared
-- shared: is_whole
local function is_whole(text)
  return text and #text <= 16 and string.find(text, '^%d+$') ~= nil
end
-- end shared
-- shared: whole
local function whole(number)
  return string.format('%.0f', number)
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
local answers = { whole(now * 1000 + time[2] % 1000) }
for i = 2, #ARGV, 4 do
  local session_key, answer = ARGV[i], 'lost'
  -- One that was damaged is lost, the others go on.
  local turn = attempt('HMGET', prefix .. 'turn:' .. session_key, 'token', 'fence', 'session_id', 'id_home')
  if turn[1] == ARGV[i + 1] and turn[2] == ARGV[i + 2] and is_leased(redis.call('ZSCORE', turns_index, session_key)) then
    answer = whole(now + lease_ms)
    redis.call('ZADD', turns_index, answer, session_key)
    local last_fence = ARGV[i + 3] ~= '0' and redis.call('GET', prefix .. 'fence')
    if last_fence and (not is_whole(last_fence) or tonumber(last_fence) < tonumber(ARGV[i + 3])) then
      redis.call('SET', prefix .. 'fence', ARGV[i + 3])
    end
  end
  for _, part in ipairs({ answer, turn[3] or '', turn[4] or '' }) do
    answers[#answers + 1] = part
  end
end
return answers
