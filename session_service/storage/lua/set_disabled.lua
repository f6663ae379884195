-- Disables or enables a user; disabling ends a first batch of sessions (end_all.lua goes on).
--
-- KEYS  1 user:{u}   2 user_sessions:{u}
--       Built here, of the same tag: user_session:{u}:<s> and token:{u}:<newest> of each it ends.
-- ARGV  1 disabled (1|0)  2 session prefix  3 token prefix  4 batch
-- Returns {how many were alive, entries left to end, fields of the user…}, or nil without a user.
local user, index = unpack(KEYS)
local disabled, session_prefix, token_prefix, batch = unpack(ARGV)
if redis.call('EXISTS', user) == 0 then
  return nil
end
-- A delete comes first, after which maxmemory no longer refuses the write.
redis.call('HDEL', user, 'disabled')
redis.call('HSET', user, 'disabled', disabled, 'updated_at', now_ms())
local ended, left = 0, 0
if disabled == '1' then
  ended, left = end_batch(session_prefix, token_prefix, index, '', tonumber(batch))
end
return with_user({ended, left}, user)
