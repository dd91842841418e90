-- Whether this partition was laid out as the caller believes. The tag of an only partition has no dot; its record is the
-- store's own, which may have been laid out anew with more.
local function is_laid_out()
  local partitions = redis.call('HGET', prefix .. 'meta', 'partitions')
  return partitions and (partitions == '1') == (string.find(prefix, '.', 1, true) == nil)
end
