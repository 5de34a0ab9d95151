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
