-- Counts one attempt in a fixed window on each counter, up to the first that has reached its limit.
--
-- KEYS  login_attempts:<scope>:<subject>, in the order in which they are counted on
-- ARGV  1 window in milliseconds  2 and so on the limit of each
-- Returns 0 if the attempt is within all limits, else the milliseconds until that counter's window ends.
local window = tonumber(ARGV[1])
for place, attempts in ipairs(KEYS) do
  local left = redis.call('PTTL', attempts)
  if tonumber(redis.call('GET', attempts) or 0) >= tonumber(ARGV[place + 1]) then
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
end
return 0
