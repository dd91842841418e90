-- The hash of the session ids that end alike: from each session key that is bound to one of them, to that id.
local function ids_of(session_id)
  return prefix .. 'session_ids:' .. string.sub(session_id, -3)
end
