-- Tells, and mends if asked, what is wrong with one access token's key.
--
-- KEYS  1 token:{u}:<t>
--       Built here, of the same tag: user_session:{u}:<s> of its session.
-- ARGV  1 session prefix  2 mend (1|0)
-- Returns {without a session (1|0), without expiry (1|0)}. One without a session is harmless and
-- lives out its time; one without expiry gets its session's, or is deleted.
local token, mend = KEYS[1], ARGV[2] == '1'
local session_id = redis.call('GET', token)
if not session_id then
  return {0, 0}
end
local expires = redis.call('HGET', ARGV[1] .. session_id, 'expires_at')
local endless = redis.call('PTTL', token) == -1
if mend and endless then
  redis.call('PEXPIREAT', token, expires or 0)
end
return {expires and 0 or 1, endless and 1 or 0}
