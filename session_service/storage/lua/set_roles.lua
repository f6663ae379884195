-- Sets a user's roles, in the user and in a batch of live sessions; called again with the cursor it
-- returned until it is done. Sessions made meanwhile take their roles from the user (create.lua).
--
-- KEYS  1 user:{u}   2 user_sessions:{u}
--       Built here, of the same tag: user_session:{u}:<s> of each.
-- ARGV  1 roles, for the first call; after it the user's own count  2 session prefix  3 batch
--       4 cursor ('' = first call)  5 the cursor's score
-- Returns {done (1|0), cursor, its score, fields of the user…}, or nil without a user.
local user, index = unpack(KEYS)
local roles, session_prefix, batch, cursor, score = unpack(ARGV)
if redis.call('EXISTS', user) == 0 then
  return nil
end
if cursor == '' then
  redis.call('HSET', user, 'roles', roles, 'updated_at', now_ms())
else
  roles = redis.call('HGET', user, 'roles')
end
local members, done = members_below(index, cursor, score, tonumber(batch))
for place = 1, #members, 2 do
  local session = session_prefix .. members[place]
  if roles == '' then
    redis.call('HDEL', session, 'roles')
  elseif redis.call('EXISTS', session) == 1 then
    redis.call('HSET', session, 'roles', roles)
  end
end
return with_user({done and 1 or 0, members[1] or cursor, members[2] or score}, user)
