-- Looks up records, and takes leases of missing ones.
-- KEYS: for each text its record and its lease, in turn.
-- ARGV[1]: the largest number of bytes of a record. ARGV[2]: the time of a lease in milliseconds, 0 for none.
-- Returns for each text: V and the record; P if the value is not a valid record; T if another process has the
-- lease; M if the record is missing and this process has the lease.
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
