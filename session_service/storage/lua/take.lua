-- Counts one attempt in a fixed window, unless the limit is reached.
--
-- KEYS  1 login_attempts:<scope>:<subject>
-- ARGV  1 limit  2 window in milliseconds
-- Returns 0 if the attempt is within the limit, else the milliseconds until the window ends.
local attempts, limit, window = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local left = redis.call('PTTL', attempts)
if tonumber(redis.call('GET', attempts) or 0) >= limit then
  -- A counter without an end (-1) would lock its subject out for good.
  if left < 0 then
    redis.call('PEXPIRE', attempts, window)
    left = window
  end
  return math.max(left, 1)
end
redis.call('INCR', attempts)
if left < 0 then
  redis.call('PEXPIRE', attempts, window)
end
return 0
