-- Claims a name for a user id: if nobody has it, or in the place of the holder expected.
--
-- KEYS  1 username:<normalised>
-- ARGV  1 user id  2 holder to replace ('' = none)
-- Returns the user id that has the name now.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[2] then
  return holder
end
redis.call('SET', KEYS[1], ARGV[1])
return ARGV[1]
