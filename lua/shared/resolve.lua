-- Why the session is due for a reset, or nil. The policy is asked before the mark of an interruption, and neither
-- resets what a live process holds.
local function reset_reason(policy)
  if entry.suspended == '1' then
    return 'suspended'
  end
  local reason, updated_at = nil, tonumber(entry.updated_at)
  if policy.idle_ms and now > updated_at + policy.idle_ms then
    reason = 'idle'
  elseif policy.resets then
    local latest = now >= policy.resets[3] and 3 or now >= policy.resets[2] and 2 or 1
    reason = updated_at < policy.resets[latest] and 'daily' or nil
  end
  if not reason and policy.mode ~= 'none' and entry.resume_pending == '1' and freshness_ms > 0 then
    local marked_at = is_whole(entry.last_resume_marked_at) and tonumber(entry.last_resume_marked_at) or updated_at
    reason = now - marked_at > freshness_ms and 'resume_pending_expired' or nil
  end
  return reason and not damaged_index(active_index) and not is_held(redis.call('ZSCORE', active_index, session_key)) and reason or nil
end
-- A new session in an empty lane, its origin from ARGV[fields_at] on.
local function created(policy, fields_at)
  redis.call('HSET', ids_of(proposed_id), session_key, proposed_id)
  index_activity(due_at(policy, now), now)
  redis.call('HSET', entry_key, 'session_id', proposed_id, 'created_at', whole(now), 'updated_at', whole(now),
    'version', '1', 'replica', replica, unpack(ARGV, fields_at))
  announce('created', 'session_key', session_key, 'session_id', proposed_id, 'replica', replica)
  return redis.call('HGETALL', entry_key)
end
-- A new session in the place of the old one; with a reason, it tells so until a turn has consumed that.
local function replaced(policy, reason)
  local told = reason and { 'was_auto_reset', '1', 'auto_reset_reason', reason } or {}
  local tokens = { 'total_tokens', 'last_prompt_tokens', 'input_tokens', 'output_tokens', 'cache_read_tokens', 'cache_write_tokens' }
  for _, field in ipairs(reason and tokens or {}) do
    if (entry[field] or '0') ~= '0' then
      told[5], told[6] = 'reset_had_activity', '1'
    end
  end
  announce('reset', 'session_key', session_key, 'session_id', proposed_id, 'old_session_id', entry.session_id,
    'reason', reason or 'forced', 'replica', replica)
  return rebind(proposed_id, policy, 'replica', replica, unpack(told))
end
