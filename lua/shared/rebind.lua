-- Bind the lane to another conversation: what belonged to the old one goes, the rest stays.
local function rebind(new_id, policy, ...)
  redis.call('HDEL', ids_of(entry.session_id), session_key)
  redis.call('HSET', ids_of(new_id), session_key, new_id)
  local updated_at = math.max(now, entry.updated_at)
  index_activity(due_at(policy, updated_at), updated_at)
  redis.call('HDEL', entry_key, 'input_tokens', 'output_tokens', 'cache_read_tokens', 'cache_write_tokens', 'total_tokens', 'last_prompt_tokens',
    'estimated_cost_nanousd', 'cost_status', 'was_auto_reset', 'auto_reset_reason', 'reset_had_activity', 'is_fresh_reset', 'suspended', 'resume_pending',
    'resume_reason', 'last_resume_marked_at', 'interruptions', 'id_home', 'override_model', 'override_provider', 'override_base_url')
  redis.call('HSET', entry_key, 'session_id', new_id, 'created_at', whole(now), 'updated_at', whole(updated_at),
    'version', whole(entry.version + 1), 'previous_session_id', entry.session_id, ...)
  return redis.call('HGETALL', entry_key)
end
