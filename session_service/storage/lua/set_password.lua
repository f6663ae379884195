-- Replaces a user's password hash and, if asked, ends a first batch of sessions (end_all.lua goes on).
--
-- KEYS  1 user:{u}   2 user_sessions:{u}
--       Built here, of the same tag: user_session:{u}:<s> and token:{u}:<newest> of each it ends.
-- ARGV  1 password hash  2 end sessions (1|0)  3 session id to keep ('' = none)
--       4 session prefix  5 token prefix  6 batch  7 the hash it must replace ('' = any)
-- Returns {how many were alive, entries left to end, fields of the user…}, nil without a user, or
--   {'changed'} where the hash is another by now.
local user, index = unpack(KEYS)
local password_hash, ending, keep, session_prefix, token_prefix, batch, expected = unpack(ARGV)
if redis.call('EXISTS', user) == 0 then
  return nil
end
if expected ~= '' and redis.call('HGET', user, 'password_hash') ~= expected then
  return {'changed'}
end
-- A delete comes first, after which maxmemory no longer refuses the writes.
redis.call('HDEL', user, 'password_hash')
redis.call('HSET', user, 'password_hash', password_hash, 'updated_at', now_ms())
local ended, left = 0, 0
if ending == '1' then
  ended, left = end_batch(session_prefix, token_prefix, index, keep, tonumber(batch))
end
return with_user({ended, left}, user)
