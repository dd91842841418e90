-- The lane of a session key, as a place.
local function lane_of(session_key)
  return { hash = prefix .. 'turn:' .. session_key, queue = prefix .. 'queue:' .. session_key, index = prefix .. 'turns',
    member = session_key }
end
