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
