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
