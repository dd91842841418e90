-- A reset policy as text: mode, idle_ms, and four daily boundaries (ms), two before now and two after,
-- as far as the mode needs them. A server clock outside them is an error: the caller's day is not ours.
local function read_policy(text)
  local words = {}
  for word in string.gmatch(text, '%S+') do
    words[#words + 1] = tonumber(word) or word
  end
  local policy = { mode = words[1], idle_ms = words[1] ~= 'daily' and words[2] or nil }
  if words[6] then
    policy.resets = { words[3], words[4], words[5], words[6] }
    if now < words[3] or now >= words[6] then
      policy.skewed = redis.error_reply('CLOCKSKEW the server says ' .. whole(now) .. ' ms, outside the daily boundaries '
        .. whole(words[3]) .. ' to ' .. whole(words[6]) .. ' around the clock of the caller')
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
      reset = policy.resets[i] > updated_at and policy.resets[i] or reset
    end
    due = math.min(due or reset, reset)
  end
  return due
end
