-- Finds the records of texts that share segments with a text.
-- KEYS: the segments that a near copy can have.
-- ARGV[1]: bytes of a name. ARGV[2]: prefix of the key of a record, before the name.
-- ARGV[3]: the largest number of records. ARGV[4]: the largest number of bytes of a record.
-- Returns names and records in turn, those of the texts with the most common segments first.
local size, shared, order = tonumber(ARGV[1]), {}, {}
for first = 1, #KEYS, 1000 do
  local last = math.min(first + 999, #KEYS)
  for _, names in ipairs({ redis.call('MGET', unpack(KEYS, first, last)) }) do
    for _, found in ipairs(names) do
      if found then
        for at = 1, #found - size + 1, size do
          local name = found:sub(at, at + size - 1)
          if not shared[name] then order[#order + 1] = name end
          shared[name] = (shared[name] or 0) + 1
        end
      end
    end
  end
end
table.sort(order, function(a, b)
  if shared[a] ~= shared[b] then return shared[a] > shared[b] end
  return a < b
end)
local found = {}
for i = 1, math.min(#order, tonumber(ARGV[3])) do
  local key = ARGV[2] .. order[i]
  local bytes = redis.pcall('STRLEN', key)
  if type(bytes) == 'number' and bytes > 0 and bytes <= tonumber(ARGV[4]) then
    found[#found + 1] = order[i]
    found[#found + 1] = redis.call('GET', key)
  end
end
return found
