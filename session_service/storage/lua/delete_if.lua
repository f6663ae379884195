-- Deletes a string, if it holds what is thought: gives up a name or a lock of one's own.
--
-- KEYS  1 username:<normalised> or sweep_lock
-- ARGV  1 what it must hold
-- Returns 1, or 0 if it is gone or somebody else's.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('DEL', KEYS[1])
