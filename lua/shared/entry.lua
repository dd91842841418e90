-- The entry as it is: `flat` for the reply, `entry` by field. A damaged one ends the script here.
local flat = redis.pcall('HGETALL', entry_key)
if type(flat) ~= 'table' or flat.err then
  return redis.error_reply('CORRUPT ' .. entry_key .. ' is damaged: it is not a hash')
end
local exists, entry = #flat > 0, {}
for i = 1, #flat, 2 do
  entry[flat[i]] = flat[i + 1]
end
for _, field in ipairs(exists and { 'version', 'created_at', 'updated_at', 'session_id' } or {}) do
  if not entry[field] or field ~= 'session_id' and not is_whole(entry[field]) then
    return redis.error_reply('CORRUPT ' .. entry_key .. ' is damaged: field ' .. field
      .. (field == 'session_id' and ' is missing' or ' is not a whole number'))
  end
end
