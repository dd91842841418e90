-- The entry by field, a map as RESP3 has it, within `reply`: what is changed in it is answered. A damaged one ends the script.
redis.setresp(3)
local reply = redis.pcall('HGETALL', entry_key)
redis.setresp(2)
local entry = reply.map
local exists = entry and next(entry) ~= nil
local not_whole = exists and (not is_whole(entry.version) and 'version' or not is_whole(entry.created_at) and 'created_at'
  or not is_whole(entry.updated_at) and 'updated_at')
local damage = not entry and 'it is not a hash' or not_whole and 'field ' .. not_whole .. ' is not a whole number'
  or exists and not entry.session_id and 'field session_id is missing'
if damage then
  -- An error that says nothing of the entry, of permissions say, is told as it is.
  return not entry and not string.find(tostring(reply.err), '^WRONGTYPE') and reply or redis.error_reply('CORRUPT ' .. entry_key .. ' is damaged: ' .. damage)
end
