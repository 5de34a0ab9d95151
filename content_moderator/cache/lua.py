"""What the server does for us in one exchange each, in its own language: Lua."""

from typing import Final

LOOK_UP: Final = """
-- KEYS: for each text the key of its record and of its lease. ARGV: bytes of a record at most, milliseconds
-- of a lease (0 for none). Gives for each text V and the record, P for a value that is none, T if another
-- holds the lease, or M: it is missing, and the lease is ours.
local found = {}
for i = 1, #KEYS, 2 do
  local size = redis.pcall('STRLEN', KEYS[i])
  if type(size) == 'table' or size > tonumber(ARGV[1]) then
    found[#found + 1] = 'P'
  elseif size > 0 then
    found[#found + 1] = 'V' .. redis.call('GET', KEYS[i])
  elseif ARGV[2] == '0' then
    found[#found + 1] = 'M'
  else
    local lease = redis.pcall('SET', KEYS[i + 1], '1', 'NX', 'PX', ARGV[2])
    found[#found + 1] = lease and 'M' or 'T'
  end
end
return found
"""

FILE: Final = """
-- KEYS: of a record, of its lease, of the segments of its text. ARGV: the record, its milliseconds, the name
-- of the text, how many bytes of names a segment holds at most. The newest names come first, and each once.
local done = redis.pcall('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('DEL', KEYS[2])
-- Only now: after any other write a full server would let this one pass as well.
if done.err then return done end
local name, most = ARGV[3], tonumber(ARGV[4])
for i = 3, #KEYS do
  local names = redis.pcall('GET', KEYS[i])
  if type(names) ~= 'string' then names = '' end
  local kept = { name }
  for at = 1, math.min(#names, most) - #name + 1, #name do
    local other = names:sub(at, at + #name - 1)
    if other ~= name and (#kept + 1) * #name <= most then kept[#kept + 1] = other end
  end
  redis.call('SET', KEYS[i], table.concat(kept), 'PX', ARGV[2])
end
return 1
"""

FIND: Final = """
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
"""
