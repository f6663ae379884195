-- Leaves a claim to a name: if there is none, or in the place of the one expected.
--
-- KEYS  1 username:<normalised>
-- ARGV  1 claim: a user id, or one that is to be added, marked  2 claim to replace ('' = none)
-- Returns the claim that stands now.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[2] then
  return holder
end
redis.call('SET', KEYS[1], ARGV[1])
return ARGV[1]
