-- Stores a record, and adds the name of its text to the segments of the text.
-- KEYS[1]: the record. KEYS[2]: its lease. KEYS[3..]: the segments of its text.
-- ARGV[1]: the record. ARGV[2]: its lifetime in milliseconds. ARGV[3]: the name of the text.
-- ARGV[4]: the largest number of bytes of names in a segment. The newest names come first, each once.
local done = redis.pcall('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('DEL', KEYS[2])
-- The record is written first, because a full server refuses only the first write of a script.
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
