-- Ends one session with its newest access token.
--
-- KEYS  1 user_session:{u}:<s>   2 user_sessions:{u}
--       Built here, of the same tag: token:{u}:<newest>.
-- ARGV  1 session prefix  2 token prefix  3 session id
-- Returns 1, or 0 if it was not alive.
return end_session(ARGV[1], ARGV[2], KEYS[2], ARGV[3])
