-- The messages that the turn was for, as ZADD takes them.
local handled = (turn.message_id or '') ~= '' and { now, turn.message_id } or {}
for field in pairs(turn.takes and turn or {}) do
  if string.sub(field, 1, 5) == 'also ' then
    handled[#handled + 1], handled[#handled + 2] = now, string.sub(field, 6)
  end
end
