-- Looks at a batch of an index, from the top downwards, and removes entries without a session;
-- called again with the cursor it returned until it is done.
--
-- KEYS  1 user_sessions:{u}
--       Built here, of the same tag: user_session:{u}:<s> of each entry.
-- ARGV  1 session prefix  2 batch  3 cursor ('' = from the top)  4 the cursor's score
--       5 remove (1|0: only count)
-- Returns {done (1|0), cursor, its score, entries with a session, entries without}
local index = KEYS[1]
local session_prefix, batch, cursor, score, remove = unpack(ARGV)
local members, done = members_below(index, cursor, score, tonumber(batch))
local live, dead = 0, {}
-- Downwards, so that the cursor ends at the lowest entry that stays.
for place = #members - 1, 1, -2 do
  local alive = redis.call('EXISTS', session_prefix .. members[place]) == 1
  if alive then
    live = live + 1
  else
    table.insert(dead, members[place])
  end
  if alive or remove == '0' then
    cursor, score = members[place], members[place + 1]
  end
end
if remove == '1' and #dead > 0 then
  redis.call('ZREM', index, unpack(dead))
end
return {done and 1 or 0, cursor, score, live, #dead}
