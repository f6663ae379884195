-- Looks at a share of each of some indexes, from the top downwards, and removes entries without a
-- session; called again, with the cursors it returned, for those that it did not come to the end of.
--
-- KEYS  user_sessions:{u} of one or several users (in a cluster: of one)
--       Built here, of the same tag: user_session:{u}:<s> of each entry.
-- ARGV  1 share: entries to look at in each  2 remove (1|0: only count)
--       then for each index: session prefix, cursor ('' = from the top), the cursor's score
-- Returns {entries with a session, entries without, then for each index that is not done: its place
--   among KEYS, cursor, the cursor's score}
local share, remove = tonumber(ARGV[1]), ARGV[2] == '1'
local live, dead, unfinished = 0, 0, {}

local function sweep(place, session_prefix, cursor, score)
  local members, done = members_below(KEYS[place], cursor, score, share)
  local removed = {}
  -- Downwards, so that the cursor ends at the lowest entry that stays.
  for at = #members - 1, 1, -2 do
    local alive = redis.call('EXISTS', session_prefix .. members[at]) == 1
    if alive then
      live = live + 1
    else
      table.insert(removed, members[at])
    end
    if alive or not remove then
      cursor, score = members[at], members[at + 1]
    end
  end
  dead = dead + #removed
  if remove and #removed > 0 then
    redis.call('ZREM', KEYS[place], unpack(removed))
  end
  if not done then
    for _, value in ipairs({place, cursor, score}) do
      table.insert(unfinished, value)
    end
  end
end

for place = 1, #KEYS do
  sweep(place, unpack(ARGV, 3 * place, 3 * place + 2))
end
return {live, dead, unpack(unfinished)}
