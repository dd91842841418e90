-- What a command says, or nothing where the key is of another type: it was damaged by hand. Any other error, of permissions
-- say, is not an answer: it ends the script.
local function read(...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then
    return not string.find(answer.err, '^WRONGTYPE') and redis.call(...) or nil
  end
  return answer
end
