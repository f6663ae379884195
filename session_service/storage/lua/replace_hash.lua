-- Swaps the hash of a user's password for another of the same password.
--
-- KEYS  1 user:{u}
-- ARGV  1 the hash it is thought to be  2 the new hash
-- Returns 1, or 0 if it is another hash by now or there is no such user.
if redis.call('HGET', KEYS[1], 'password_hash') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'password_hash', ARGV[2], 'updated_at', now_ms())
return 1
