#!lua
-- Take in which messages sessions have handled elsewhere, and when. What is known here stays: a message keeps the later of
-- its two times, and none is forgotten sooner than it would have been. Doing it again changes nothing.
--
-- KEYS[1]  partition       {redisstore}:
-- KEYS[2]  index           {redisstore}:updated_at
-- ARGV[1]  message_ttl_ms  how long a message is known as done; one done longer ago is not taken in
-- ARGV[2]  ...             for each session: session key, number of messages, message id, when it was done (ms), message id ...
-- Returns  for each session '1', or '0': what is stored is damaged, and stays as it is
-- Errors   NOLAYOUT: nobody has laid out this partition, or its data was flushed
-- Example  redis-cli --eval lua/import_handled_messages.lua '{redisstore}:' '{redisstore}:updated_at' , 86400000 agent:main:telegram:dm:42 1 m-1 1793523600000

local prefix, message_ttl_ms = KEYS[1], tonumber(ARGV[1])

-- shared: clock
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- end shared
-- shared: whole
local function whole(number)
  return string.format('%.0f', number)
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
-- shared: layout
-- Whether this partition was laid out as the caller believes. The tag of an only partition has no dot; its record is the
-- store's own, which may have been laid out anew with more.
local function is_laid_out()
  local partitions = redis.call('HGET', prefix .. 'meta', 'partitions')
  return partitions and (partitions == '1') == (string.find(prefix, '.', 1, true) == nil)
end
-- end shared

if not is_laid_out() then
  return redis.error_reply('NOLAYOUT ' .. prefix .. 'meta is missing or says otherwise: open the store first')
end
local lanes, verdicts, at = {}, {}, 2
while at <= #ARGV do
  local seen_key, last = prefix .. 'seen:' .. ARGV[at], at + 1 + 2 * ARGV[at + 1]
  local is_damaged = damaged_index(seen_key)
  local lane = not is_damaged and (lanes[seen_key] or { messages = {}, latest = 0, lives = redis.call('PTTL', seen_key) }) or nil
  lanes[seen_key] = lane
  for i = at + 2, lane and last or 0, 2 do
    local done_at = tonumber(ARGV[i + 1])
    if done_at > now - message_ttl_ms then
      lane.messages[#lane.messages + 1] = { ARGV[i], whole(done_at) }
      lane.latest = math.max(lane.latest, done_at)
    end
  end
  verdicts[#verdicts + 1] = lane and '1' or '0'
  at = last + 1
end

for seen_key, lane in pairs(lanes) do
  for _, message in ipairs(lane.messages) do
    redis.call('ZADD', seen_key, 'GT', message[2], message[1])
  end
  -- A time ahead of this clock lets nothing live longer than a message that is done now. A set without a TTL (-1), which
  -- only a hand can make, stays as it is; -2 is none at all.
  local life = math.min(lane.latest, now) + message_ttl_ms - now
  if lane.messages[1] and lane.lives ~= -1 and lane.lives < life then
    redis.call('PEXPIRE', seen_key, whole(life))
  end
end
return verdicts
