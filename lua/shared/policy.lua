-- Reset rules: `rule_count` times eight arguments from `rules_at` on: kind (default, chat_type or
-- platform), name, mode, idle_ms, and four daily boundaries (ms), two before now and two after.
-- The platform's rule goes before the chat type's, and that before the default. A server clock
-- outside the boundaries is an error: the caller's day is not ours.
local function policy_of(platform, chat_type)
  local wanted = { default = '', chat_type = chat_type or 'dm', platform = platform or '' }
  local weight = { default = 1, chat_type = 2, platform = 3 }
  local chosen, chosen_weight
  for at = rules_at, rules_at + 8 * rule_count - 1, 8 do
    local kind = ARGV[at]
    if wanted[kind] == ARGV[at + 1] and weight[kind] > (chosen_weight or 0) then
      chosen, chosen_weight = at, weight[kind]
    end
  end
  local policy = { mode = 'none' }
  if chosen then
    policy.mode = ARGV[chosen + 2]
  end
  if policy.mode == 'idle' or policy.mode == 'both' then
    policy.idle_ms = tonumber(ARGV[chosen + 3])
  end
  if policy.mode == 'daily' or policy.mode == 'both' then
    policy.resets = {}
    for i = 1, 4 do
      policy.resets[i] = tonumber(ARGV[chosen + 3 + i])
    end
    if now < policy.resets[1] or now >= policy.resets[4] then
      policy.skewed = redis.error_reply('CLOCKSKEW the server says ' .. whole(now) .. ' ms, outside the daily boundaries '
        .. whole(policy.resets[1]) .. ' to ' .. whole(policy.resets[4]) .. ' around the clock of the caller')
    end
  end
  return policy
end
-- The first ms at which the policy resets a session that was last active at `updated_at`. Beyond
-- the last boundary (the clock was ahead) days are counted on; only the index is less exact then.
local function due_at(policy, updated_at)
  local due = policy.idle_ms and updated_at + policy.idle_ms + 1
  if policy.resets then
    local days_beyond = math.max(0, math.floor((updated_at - policy.resets[4]) / 86400000) + 1)
    local reset = policy.resets[4] + days_beyond * 86400000
    for i = 4, 1, -1 do
      if policy.resets[i] > updated_at then
        reset = policy.resets[i]
      end
    end
    due = math.min(due or reset, reset)
  end
  return due
end
