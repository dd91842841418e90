-- Index the entry under its new last activity, and when it is due, if ever; before the entry itself is
-- written. The index that matters least comes first. (Redis writes whole numbers with all their digits.)
local function index_activity(due, updated_at)
  if due then
    redis.call('ZADD', expiry_index, due, session_key)
  else
    redis.call('ZREM', expiry_index, session_key)
  end
  redis.call('ZADD', updated_at_index, updated_at, session_key)
  -- What was finalized, or was about to be, lives on: it will be due anew.
  if entry.expiry_finalized or entry.finalize_tries then
    redis.call('HDEL', entry_key, 'expiry_finalized', 'finalize_token', 'finalize_tries', 'finalize_error')
    entry.expiry_finalized, entry.finalize_token, entry.finalize_tries, entry.finalize_error = nil, nil, nil, nil
  end
end
