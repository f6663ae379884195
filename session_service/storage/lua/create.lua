-- Creates a session with its first access token and its index entry, within the limit.
--
-- KEYS  1 user_session:{u}:<new>   2 token:{u}:<new>   3 user_sessions:{u}   4 user:{u}
--       5 user_devices:{u}         6 login_request:{u}:<proof>:<device>:<request id>, only if there is one
--       Built here, of the same tag: user_session:{u}:<s> and token:{u}:<t> of sessions it evicts,
--       and of the one that the request id made before.
-- ARGV  as named below; spans in milliseconds. `proof` is 'password' or 'trusted'.
-- Returns one of
--   {'created', session, token, username, roles, generation, token issued, token expires,
--    session expires, new device (1|0), evicted…}
--   {'repeated', likewise, as it stands}   the request id made this session within the last minute
--   {'ended'}                              the session that the request id made is gone
--   {'refused'}                            the directory says no: gone, disabled, other password
--   {'full'}                               the limit is reached and the policy is to reject
--   {'again', evicted…}                    far over the limit: ended a batch; call again
local session_prefix, token_prefix, session_id, token_id, user_id, username, roles, device_info,
  ip_address, fingerprint, proof, password_hash = unpack(ARGV, 1, 12)
local session_life, token_life, idle_life, max_sessions = unpack(ARGV, 13, 16)
local on_limit, request_life, device_life, max_devices, batch = unpack(ARGV, 17, 21)
local session, token, index, user, devices, request = unpack(KEYS)
max_sessions, batch = tonumber(max_sessions), tonumber(batch)
local now = now_ms()

-- The directory's word on it, and on name and roles; who is not in it passes if proven elsewhere.
local function admitted()
  local known = redis.call('HMGET', user, 'username', 'roles', 'password_hash', 'disabled')
  if not known[1] then
    return proof == 'trusted'
  end
  username, roles = known[1], known[2] or ''
  return known[4] ~= '1' and (proof == 'trusted' or known[3] == password_hash)
end

-- What this request id made before, as it stands; nil if it made nothing.
local function repeated()
  local made = request and redis.call('GET', request)
  if not made then
    return nil
  end
  local new_device, earlier = string.sub(made, 1, 1), string.sub(made, 3)
  local is = redis.call('HMGET', session_prefix .. earlier, 'token', 'username', 'roles', 'expires_at')
  if not is[1] then
    return {'ended'}
  end
  local generation, issued = refresh_state(session_prefix .. earlier)
  local expires = tonumber(is[4])
  return {'repeated', earlier, is[1], is[2], is[3] or '', generation, issued,
    math.min(expires, issued + token_life), expires, tonumber(new_device)}
end

-- Reads only, since the first write must be one that maxmemory can refuse. Returns the entries
-- without a session, those to evict (false: there is no room to be made), and whether more remain.
local function survey()
  local count = redis.call('ZCARD', index)
  if max_sessions == 0 or count < max_sessions then
    return redis.call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, 100), {}, false
  end
  local seen = redis.call('ZRANGE', index, 0, batch - 1)
  local dead, alive = {}, {}
  for _, each in ipairs(seen) do
    local exists = redis.call('EXISTS', session_prefix .. each) == 1
    table.insert(exists and alive or dead, each)
  end
  local excess = count - #dead - max_sessions + 1
  local unseen = count - #seen
  if on_limit == 'reject' and excess > 0 then
    return dead, #alive < max_sessions and unseen > 0 and {}, true
  end
  local evicted = {}
  for place = 1, math.min(excess, #alive) do
    evicted[place] = alive[place]
  end
  return dead, evicted, excess > #alive
end

local function clear(dead, evicted)
  if #dead > 0 then
    redis.call('ZREM', index, unpack(dead))
  end
  for _, each in ipairs(evicted) do
    end_session(session_prefix, token_prefix, index, each)
  end
end

local function answer(status, evicted)
  for _, each in ipairs(evicted) do
    table.insert(status, each)
  end
  return status
end

local function store(expires, deadline, token_expires)
  local fields = {'session_id', session_id, 'user_id', user_id, 'username', username,
    'token', token_id, 'created_at', now, 'last_active', now, 'expires_at', expires}
  for name, value in pairs({roles = roles, device_info = device_info, ip_address = ip_address}) do
    if value ~= '' then
      table.insert(fields, name)
      table.insert(fields, value)
    end
  end
  redis.call('HSET', session, unpack(fields))
  redis.call('PEXPIREAT', session, deadline)
  redis.call('SET', token, session_id, 'PXAT', token_expires)
  redis.call('ZADD', index, expires, session_id)
  redis.call('PEXPIREAT', index, redis.call('ZRANGE', index, -1, -1, 'WITHSCORES')[2])
end

-- 1 if the device was not known; knows it from now on.
local function meet_device()
  redis.call('ZREMRANGEBYSCORE', devices, '-inf', now - device_life)
  local known = redis.call('ZSCORE', devices, fingerprint)
  redis.call('ZADD', devices, now, fingerprint)
  redis.call('ZREMRANGEBYRANK', devices, 0, -max_devices - 1)
  redis.call('PEXPIRE', devices, device_life)
  return known and 0 or 1
end

if not admitted() then
  return {'refused'}
end
local before = repeated()
if before then
  return before
end
local dead, evicted, more = survey()
if not evicted then
  return {'full'}
elseif more then
  clear(dead, evicted)
  return answer({'again'}, evicted)
end
local expires = now + session_life
local deadline = tonumber(idle_life) > 0 and math.min(expires, now + idle_life) or expires
local token_expires = math.min(expires, now + token_life)
store(expires, deadline, token_expires)
clear(dead, evicted)
local new_device = meet_device()
if request then
  redis.call('SET', request, new_device .. ':' .. session_id, 'PX', request_life)
end
return answer({'created', session_id, token_id, username, roles, 1, now, token_expires, expires,
  new_device}, evicted)
