-- Where the lock of an id is that this lane is to be bound to; '': it needs none, for nobody else is bound to it. In several
-- partitions the caller tells where, once it has marked who may be bound to it elsewhere. Nil: others have to be marked first, by
-- share_session_id.lua. Asked for before the first write.
local function home_among(session_id, told)
  local home = ''
  for _, other in ipairs(lanes_of(session_id)) do
    local values = attempt('HMGET', prefix .. 'entry:' .. other, 'session_id', 'version', 'id_home')
    if other ~= session_key and values[1] == session_id and is_whole(values[2]) then
      home = values[3] and home and prefix or nil
    end
  end
  if string.find(prefix, '.', 1, true) then
    return home and told ~= '' and told or nil
  end
  return home
end
