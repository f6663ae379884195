-- Goes before every script: the store's clock, and the one way in which a session ends.

-- Unix time in milliseconds by Redis's own clock.
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The refresh generation that a session is at, and when it was made. Both fields come with the first
-- rotation, which saves a tenth of a session that never sees one; nil if there is no session.
local function refresh_state(session)
  local is = redis.call('HMGET', session, 'refresh_generation', 'refresh_rotated_at', 'created_at')
  return is[3] and tonumber(is[1] or 1), tonumber(is[2] or is[3])
end

-- Deletes a session, its newest access token and its index entry; 1 if it was alive, else 0.
-- Nothing is written before the deletes, so that it works with maxmemory reached.
local function end_session(session_prefix, token_prefix, index, session_id)
  local session = session_prefix .. session_id
  local token = redis.call('HGET', session, 'token')
  local ended = redis.call('DEL', session)
  if token then
    redis.call('DEL', token_prefix .. token)
  end
  redis.call('ZREM', index, session_id)
  return ended
end

-- Ends up to `batch` of a user's sessions, the oldest first, sparing `keep` ('' = none).
-- Returns how many were alive, and how many entries are left to end.
local function end_batch(session_prefix, token_prefix, index, keep, batch)
  local ended = 0
  for _, session_id in ipairs(redis.call('ZRANGE', index, 0, batch)) do
    if session_id ~= keep then
      ended = ended + end_session(session_prefix, token_prefix, index, session_id)
    end
  end
  local left = redis.call('ZCARD', index)
  if keep ~= '' and redis.call('ZSCORE', index, keep) then
    left = left - 1
  end
  return ended, left
end

-- Up to `count` members of an index and their scores, from just below `cursor` downwards ('' =
-- from the top), and whether that reaches the bottom. New entries come in at the top and removals
-- only move entries down, so that none is passed over; a cursor that has left the index is found
-- again by its score.
local function members_below(index, cursor, score, count)
  local rank
  if cursor == '' then
    rank = redis.call('ZCARD', index)
  else
    rank = redis.call('ZRANK', index, cursor) or redis.call('ZCOUNT', index, '-inf', score)
  end
  if rank == 0 then
    return {}, true
  end
  local first = math.max(0, rank - count)
  return redis.call('ZRANGE', index, first, rank - 1, 'WITHSCORES'), first == 0
end

-- An answer of the given values followed by the user's fields, in the order of codec.USER_FIELDS.
local function with_user(answer, user)
  local fields = redis.call('HMGET', user, 'user_id', 'username', 'roles', 'disabled', 'created_at',
    'password_hash')
  for _, value in ipairs(fields) do
    table.insert(answer, value)
  end
  return answer
end
