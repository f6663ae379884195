-- Removes a user and a first batch of sessions (end_all.lua goes on).
--
-- KEYS  1 user:{u}   2 user_sessions:{u}   3 user_devices:{u}
--       Built here, of the same tag: user_session:{u}:<s> and token:{u}:<newest> of each it ends.
-- ARGV  1 session prefix  2 token prefix  3 batch
-- Returns {how many were alive, entries left to end, fields the user had…}, or nil without a user.
local user, index, devices = unpack(KEYS)
if redis.call('EXISTS', user) == 0 then
  return nil
end
local answer = with_user({0, 0}, user)
redis.call('DEL', user, devices)
answer[1], answer[2] = end_batch(ARGV[1], ARGV[2], index, '', tonumber(ARGV[3]))
return answer
