-- A page of an index by time, and the score to go on after, or ''. Members that stay move only to the end, so none is missed:
-- a page has all that lapse at its last moment, and is as much larger than asked for.
local function page_after(index, after, limit)
  local first = after == '' and '-inf' or '(' .. after
  local page = redis.call('ZRANGEBYSCORE', index, first, '+inf', 'WITHSCORES', 'LIMIT', 0, limit)
  local last = page[2 * limit]
  return last and redis.call('ZRANGEBYSCORE', index, first, last, 'WITHSCORES') or page, last or ''
end
