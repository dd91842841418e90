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
local function due_at(policy, updated_at)
  local due = policy.idle_ms and updated_at + policy.idle_ms
  if policy.resets then
    local reset = policy.resets[4]
    for i = 4, 1, -1 do
      if policy.resets[i] > updated_at then
        reset = policy.resets[i]
      end
    end
    due = math.min(due or reset, reset)
  end
  return due
end
