-- KEYS: of segments that a near text may have. ARGV: bytes of a name, what comes before a name in the key of
-- its record, how many records at most, bytes of a record at most. Gives names and records in turn, those
-- first whose texts share the most segments.
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
