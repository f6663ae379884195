-- Uncounts one attempt on each counter, if any is counted there.
--
-- KEYS  login_attempts:<scope>:<subject>
-- ARGV  1 how many of them, from the first on, are forgotten altogether instead
-- Returns nothing.
for place, attempts in ipairs(KEYS) do
  if place <= tonumber(ARGV[1]) then
    redis.call('DEL', attempts)
  elseif tonumber(redis.call('GET', attempts) or 0) >= 1 then
    redis.call('DECR', attempts)
  end
end
