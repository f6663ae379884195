-- Notes activity and puts off idle expiry, never beyond the absolute end.
--
-- KEYS  1 user_session:{u}:<s>
-- ARGV  1 idle life in milliseconds (0 = none)
-- Returns 1, or 0 if there is no such session: what has ended stays ended.
local session, idle_life = KEYS[1], tonumber(ARGV[1])
local expires = tonumber(redis.call('HGET', session, 'expires_at'))
if not expires then
  return 0
end
local now = now_ms()
-- With maxmemory reached the note may be refused; the session in use is kept alive all the same.
local noted = redis.pcall('HSET', session, 'last_active', now)
if type(noted) == 'table' and noted.err and not string.find(noted.err, 'OOM', 1, true) then
  return noted
end
redis.call('PEXPIREAT', session, idle_life > 0 and math.min(expires, now + idle_life) or expires)
return 1
