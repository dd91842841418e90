local prefix, entry_key = KEYS[1], KEYS[2]
local session_key = string.sub(entry_key, #prefix + #'entry:' + 1)
local updated_at_index, expiry_index, active_index = prefix .. 'updated_at', prefix .. 'expiry', prefix .. 'active'
