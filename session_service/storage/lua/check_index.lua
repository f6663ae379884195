-- Tells, and mends if asked, whether an index has no expiry.
--
-- KEYS  1 user_sessions:{u}
-- ARGV  1 mend (1|0)
-- Returns 1 if it has none, else 0.
if redis.call('PTTL', KEYS[1]) ~= -1 then
  return 0
end
if ARGV[1] == '1' then
  redis.call('PEXPIREAT', KEYS[1], redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2])
end
return 1
