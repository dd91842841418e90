-- Wake one who waits: a hint to begin again, dropped where an earlier one is unread.
local function wake(waiter)
  local wake_key = prefix .. 'wake:' .. string.match(waiter, '^%S*')
  if redis.call('EXISTS', wake_key) == 0 then
    redis.call('RPUSH', wake_key, whole(now))
    redis.call('PEXPIRE', wake_key, 60000)
  end
end
