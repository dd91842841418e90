-- Whether a lease still runs. One that lapses later than any can counts as lapsed: the clock was set back.
local LONGEST_LEASE_MS = 300000
local function is_leased(lapses)
  lapses = tonumber(lapses or 0)
  return lapses > now and lapses <= now + LONGEST_LEASE_MS
end
