-- A reset policy as text: mode, idle_ms, and four daily boundaries (ms), two before now and two after, as far as the mode
-- needs them. A server clock outside them is an error: the caller's day is not ours.
local function read_policy(text)
  local mode, idle_ms, b1, b2, b3, b4 = string.match(text, '^(%a+) ?(%d*) ?(%d*) ?(%d*) ?(%d*) ?(%d*)$')
  local policy = { mode = mode, idle_ms = mode ~= 'daily' and tonumber(idle_ms or '') or nil }
  if (b4 or '') ~= '' then
    policy.resets = { tonumber(b1), tonumber(b2), tonumber(b3), tonumber(b4) }
    if now < policy.resets[1] or now >= policy.resets[4] then
      policy.skewed = redis.error_reply('CLOCKSKEW the server says ' .. whole(now) .. ' ms, outside the daily boundaries ' .. b1
        .. ' to ' .. b4 .. ' around the clock of the caller')
    end
  end
  return policy
end
-- The first ms at which the policy resets a session that was last active at `updated_at`. Beyond
-- the last boundary (the clock was ahead) days are counted on; only the index is less exact then.
local function due_at(policy, updated_at)
  local due, resets = policy.idle_ms and updated_at + policy.idle_ms + 1, policy.resets
  if resets then
    local reset = resets[4] + math.max(0, math.floor((updated_at - resets[4]) / 86400000) + 1) * 86400000
    for i = 4, 1, -1 do
      reset = resets[i] > updated_at and resets[i] or reset
    end
    due = math.min(due or reset, reset)
  end
  return due
end
