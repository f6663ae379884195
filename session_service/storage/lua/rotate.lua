-- Accepts or refuses a refresh token by its generation, as domain.policy.judge_rotation.
--
-- KEYS  1 user_session:{u}:<s>   2 token:{u}:<new>   3 user_sessions:{u}
--       Built here, of the same tag: token:{u}:<newest> of a session that it ends.
-- ARGV  1 session prefix  2 token prefix  3 session id  4 new token id  5 presented generation
--       6 token life  7 refresh grace  8 idle life (0 = none); spans in milliseconds
-- Returns one of
--   {'rotated', token, generation, token issued, token expires, session expires}
--   {'repeated', likewise}   the answer of the rotation before, once more; nothing is written,
--                            so a token that an operator deleted meanwhile stays deleted
--   {'reused'}               stolen: the session was ended
--   {'ended'}                there is no such session
local session_prefix, token_prefix, session_id, token_id = unpack(ARGV, 1, 4)
local presented, token_life, grace, idle_life = unpack(ARGV, 5, 8)
local session, token, index = unpack(KEYS)
local generation, rotated = refresh_state(session)
if not generation then
  return {'ended'}
end
local expires = tonumber(redis.call('HGET', session, 'expires_at'))
local now = now_ms()
presented = tonumber(presented)

if presented == generation then
  redis.call('HSET', session, 'refresh_generation', generation + 1, 'refresh_rotated_at', now,
    'last_active', now, 'token', token_id)
  local deadline = tonumber(idle_life) > 0 and math.min(expires, now + idle_life) or expires
  redis.call('PEXPIREAT', session, deadline)
  local token_expires = math.min(expires, now + token_life)
  redis.call('SET', token, session_id, 'PXAT', token_expires)
  return {'rotated', token_id, generation + 1, now, token_expires, expires}
end
if presented == generation - 1 and now - rotated <= tonumber(grace) then
  local newest = redis.call('HGET', session, 'token')
  return {'repeated', newest, generation, rotated, math.min(expires, rotated + token_life), expires}
end
end_session(session_prefix, token_prefix, index, session_id)
return {'reused'}
