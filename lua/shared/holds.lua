-- Whether a live process holds the session. What can't be read counts as held: destructive paths
-- fail safe. So does a hold that lapses later than any can: the clock was set back.
local function is_held(lapses)
  local at = type(lapses) == 'string' and tonumber(lapses)
  return lapses and (not at or at > now)
end
