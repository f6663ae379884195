-- Ends a batch of a user's sessions, all or all but one; called until none is left.
--
-- KEYS  1 user_sessions:{u}
--       Built here, of the same tag: user_session:{u}:<s> and token:{u}:<newest> of each.
-- ARGV  1 session prefix  2 token prefix  3 session id to keep ('' = none)  4 batch
-- Returns {how many were alive, how many entries are left to end}
local ended, left = end_batch(ARGV[1], ARGV[2], KEYS[1], ARGV[3], tonumber(ARGV[4]))
return {ended, left}
