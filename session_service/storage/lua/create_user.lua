-- Adds a user, unless the id is in use.
--
-- KEYS  1 user:{u}
-- ARGV  1 user id  2 username  3 password hash  4 roles  5 disabled (1|0)
-- Returns when it was created (milliseconds), or 0 if there is a user of this id.
local user = KEYS[1]
if redis.call('EXISTS', user) == 1 then
  return 0
end
local user_id, username, password_hash, roles, disabled = unpack(ARGV)
local now = now_ms()
redis.call('HSET', user, 'user_id', user_id, 'username', username, 'password_hash', password_hash,
  'roles', roles, 'disabled', disabled, 'created_at', now, 'updated_at', now)
return now
