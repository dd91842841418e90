-- How long after a beat a replica counts as alive at most. What lapses more than five minutes later shows that the clock was set back.
local LONGEST_TTL_MS, FURTHEST_TTL_MS = 3600000, 3900000
