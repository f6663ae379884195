-- Puts off the end of a lock, if it is still one's own.
--
-- KEYS  1 sweep_lock
-- ARGV  1 what it must hold  2 milliseconds from now
-- Returns 1, or 0 if it is gone or somebody else's.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
