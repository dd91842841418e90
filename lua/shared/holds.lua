-- Whether a live process holds the session. What can't be read, or lapses too late, counts as held: destructive paths fail safe.
local function is_held(lapses)
  return lapses and (type(lapses) == 'string' and tonumber(lapses) or math.huge) > now
end
