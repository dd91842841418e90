-- The entry touched: the reply is put together without reading it again.
local function touched(updated_at, ...)
  local fields = { 'updated_at', whole(updated_at), 'version', whole(entry.version + 1), 'replica', replica, ... }
  redis.call('HSET', entry_key, unpack(fields))
  flat = (entry.expiry_finalized or entry.finalize_tries) and redis.call('HGETALL', entry_key) or flat
  local changed = {}
  for i = 1, #fields, 2 do
    changed[fields[i]] = fields[i + 1]
  end
  for i = 1, #flat, 2 do
    flat[i + 1], changed[flat[i]] = changed[flat[i]] or flat[i + 1], nil
  end
  for field, value in pairs(changed) do
    flat[#flat + 1], flat[#flat + 2] = field, value
  end
  return flat
end
