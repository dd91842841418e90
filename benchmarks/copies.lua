#!lua
-- Copies of a stored session under numbered chat ids, with its place in every index. The session
-- was written by the store itself, so its copies have the store's layout, whatever that is.
--
-- KEYS[1]  partition   {redisstore}:
-- KEYS[2]  entry       the session to copy, {redisstore}:entry:<lane><chat id>
-- ARGV[1]  lane        what the session keys begin with, agent:main:telegram:dm:
-- ARGV[2]  stem        what the chat ids of the copies begin with; a number of seven digits follows
-- ARGV[3]  first       the first number
-- ARGV[4]  count       how many
-- ARGV[5]  updated_at  last activity of number 0, ms since 1970
-- ARGV[6]  step        ms from each to the next
-- Returns  'OK'

local prefix, template_key = KEYS[1], KEYS[2]
local lane, stem = ARGV[1], ARGV[2]
local first, count = tonumber(ARGV[3]), tonumber(ARGV[4])
local updated_at, step = tonumber(ARGV[5]), tonumber(ARGV[6])

local template = redis.call('HGETALL', template_key)
local place = {}
for i = 1, #template, 2 do
  place[template[i]] = i + 1
end
local template_member = string.sub(template_key, #prefix + #'entry:' + 1)
local due = redis.call('ZSCORE', prefix .. 'expiry', template_member)
local due_after = due and due - template[place.updated_at]
-- The session ids that end alike share a hash.
local function ids_of(session_id)
  return prefix .. 'session_ids:' .. string.sub(session_id, -3)
end

for number = first, first + count - 1 do
  local chat_id = string.format('%s%07d', stem, number)
  local session_key = lane .. chat_id
  local session_id = '20260101_000000_' .. string.sub(redis.sha1hex(chat_id), 1, 12)
  local moment = updated_at + number * step
  template[place.chat_id], template[place.session_id] = chat_id, session_id
  template[place.updated_at] = string.format('%.0f', moment)
  redis.call('HSET', prefix .. 'entry:' .. session_key, unpack(template))
  redis.call('ZADD', prefix .. 'updated_at', template[place.updated_at], session_key)
  redis.call('HSET', ids_of(session_id), session_key, session_id)
  if due_after then
    redis.call('ZADD', prefix .. 'expiry', string.format('%.0f', moment + due_after), session_key)
  end
end
return 'OK'
