local KNOWN_FIELDS = {
  'session_id', 'created_at', 'updated_at', 'version', 'platform', 'chat_type', 'display_name', 'replica',
  'last_call', 'id_home', 'interruptions', 'finalize_token', 'finalize_tries', 'finalize_error',
  'chat_id', 'chat_name', 'user_id', 'user_name', 'thread_id', 'chat_topic', 'user_id_alt', 'chat_id_alt', 'is_bot',
  'guild_id', 'parent_chat_id', 'message_id', 'profile', 'auto_thread_created', 'auto_thread_initial_name',
  'origin_platform', 'origin_chat_type', 'no_origin', 'no_display_name',
  'input_tokens', 'output_tokens', 'cache_read_tokens', 'cache_write_tokens', 'total_tokens', 'last_prompt_tokens',
  'estimated_cost_nanousd', 'cost_status', 'was_auto_reset', 'auto_reset_reason', 'reset_had_activity', 'previous_session_id',
  'is_fresh_reset', 'expiry_finalized', 'suspended', 'resume_pending', 'resume_reason', 'last_resume_marked_at',
  'override_model', 'override_provider', 'override_base_url',
}
