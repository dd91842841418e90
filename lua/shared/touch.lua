-- Index the entry under its new last activity, before the entry itself is written.
local function index_activity(policy, updated_at)
  redis.call('ZADD', updated_at_index, whole(updated_at), session_key)
  local due = due_at(policy, updated_at)
  if due then
    redis.call('ZADD', expiry_index, whole(due), session_key)
  else
    redis.call('ZREM', expiry_index, session_key)
  end
  -- What was finalized, or was about to be, lives on: it will be due anew.
  if entry.expiry_finalized or entry.finalize_tries then
    redis.call('HDEL', entry_key, 'expiry_finalized', 'finalize_token', 'finalize_tries', 'finalize_error')
  end
end
