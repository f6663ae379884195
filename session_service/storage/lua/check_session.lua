-- Tells, and mends if asked, what is wrong with one session.
--
-- KEYS  1 user_session:{u}:<s>   2 user_sessions:{u}
-- ARGV  1 session id  2 mend (1|0)
-- Returns {not in the index (1|0), without expiry (1|0)}; a session that is gone is fine.
local session, index = unpack(KEYS)
local session_id, mend = ARGV[1], ARGV[2] == '1'
local life = redis.call('PTTL', session)
if life == -2 then
  return {0, 0}
end
local expires = redis.call('HGET', session, 'expires_at')
local unindexed = not redis.call('ZSCORE', index, session_id)
local endless = life == -1
if not expires then
  -- Never a session: no read accepts it without its end.
  if mend then
    redis.call('DEL', session)
    redis.call('ZREM', index, session_id)
  end
  return {unindexed and 1 or 0, endless and 1 or 0}
end
if mend and unindexed then
  redis.call('ZADD', index, expires, session_id)
  redis.call('PEXPIREAT', index, redis.call('ZRANGE', index, -1, -1, 'WITHSCORES')[2])
end
if mend and endless then
  redis.call('PEXPIREAT', session, expires)
end
return {unindexed and 1 or 0, endless and 1 or 0}
