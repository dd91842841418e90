-- The entry as it is: `flat` for the reply, `entry` by field. A damaged one ends the script here.
local flat = redis.pcall('HGETALL', entry_key)
if type(flat) ~= 'table' or flat.err then
  return redis.error_reply('CORRUPT ' .. entry_key .. ' is damaged: it is not a hash')
end
local exists, entry = #flat > 0, {}
for i = 1, #flat, 2 do
  entry[flat[i]] = flat[i + 1]
end
if exists then
  for _, field in ipairs({ 'version', 'created_at', 'updated_at' }) do
    if not is_whole(entry[field]) then
      return redis.error_reply('CORRUPT ' .. entry_key .. ' is damaged: field ' .. field .. ' is not a whole number')
    end
  end
  if not entry.session_id then
    return redis.error_reply('CORRUPT ' .. entry_key .. ' is damaged: field session_id is missing')
  end
end
