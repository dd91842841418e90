-- Whether the session plainly goes on, and until when: there is no mark on it, it is not due, and the caller
-- is not in another day. Told without the functions that decide in all other cases, for to make them costs.
local updated_at = math.max(now, entry.updated_at or 0)
local is_plain, due = exists and entry.suspended ~= '1' and entry.resume_pending ~= '1' and not entry.expiry_finalized
  and not entry.finalize_tries, nil
if is_plain and policy_text ~= 'none' then
  local idle_ms, day_began, day_ends = string.match(policy_text, '^%a+ (%d+) ?%d* ?(%d*) ?(%d*)')
  local idle, before = idle_ms == '0' and math.huge or idle_ms + 1, tonumber(entry.updated_at)
  day_began, day_ends = tonumber(day_began) or 0, tonumber(day_ends) or math.huge
  is_plain = day_began <= now and day_began <= before and now < before + idle and updated_at < day_ends
    and redis.call('TYPE', updated_at_index).ok == 'zset'
  due = math.min(day_ends, updated_at + idle)
end
