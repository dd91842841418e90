-- Whether a lease still runs. One that lapses more than five minutes later than any can counts as lapsed: the clock was set back.
local LONGEST_LEASE_MS, FURTHEST_LEASE_MS = 300000, 600000
local function is_leased(lapses)
  lapses = tonumber(lapses or 0) or 0
  return lapses > now and lapses <= now + FURTHEST_LEASE_MS
end
