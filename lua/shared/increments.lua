-- Fields to write: activity, and what else is given; '' leaves a field as it is. (Nothing is written of an entry that is gone.)
local updated_at = math.max(now, entry.updated_at or 0)
local changes = { 'updated_at', whole(updated_at), 'version', whole((entry.version or 0) + 1) }
local function change(field, value)
  if value ~= '' then
    changes[#changes + 1], changes[#changes + 2] = field, value
  end
end
-- Counters grow by increments: `increment_count` pairs of field and amount that follow the rules.
local function add_increments()
  local first_increment = rules_at + 3 * rule_count
  for at = first_increment, first_increment + 2 * increment_count - 1, 2 do
    local field = ARGV[at]
    local count = entry[field] or '0'
    if not is_whole(count) then
      return redis.error_reply('CORRUPT ' .. entry_key .. ' is damaged: field ' .. field .. ' is not a whole number')
    end
    local sum = tonumber(count) + tonumber(ARGV[at + 1])
    if sum > 9007199254740991 then
      return redis.error_reply('LIMIT ' .. field .. ' would reach 2^53')
    end
    change(field, whole(sum))
  end
end
-- Write them, in the reply too.
local function write_changes()
  redis.call('HSET', entry_key, unpack(changes))
  for i = 1, #changes, 2 do
    entry[changes[i]] = changes[i + 1]
  end
end
