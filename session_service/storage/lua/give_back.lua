-- Uncounts one attempt, if any is counted.
--
-- KEYS  1 login_attempts:<scope>:<subject>
-- Returns how many are left.
local attempts = KEYS[1]
if tonumber(redis.call('GET', attempts) or 0) < 1 then
  return 0
end
return redis.call('DECR', attempts)
