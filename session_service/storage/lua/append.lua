-- Appends a batch of audit events and moves the counters, once however often it is sent.
--
-- KEYS  1 session_events   2 session_stats:{session_events}   3 audit_writer:{session_events}:<writer>
-- ARGV  1 number of this batch; its writer sends one after the other
--       2 milliseconds to remember it  3 length to cap the stream at
--       4 sessions created  5 sessions ended  6… each event: number of words, words
-- Returns 1, or 0 if the batch is in the stream already.
local stream, counters, writer = unpack(KEYS)
if redis.call('GET', writer) == ARGV[1] then
  return 0
end
redis.call('SET', writer, ARGV[1], 'PX', ARGV[2])
local place = 6
while place <= #ARGV do
  local last = place + tonumber(ARGV[place])
  redis.call('XADD', stream, 'MAXLEN', '~', ARGV[3], '*', unpack(ARGV, place + 1, last))
  place = last + 1
end
redis.call('HINCRBY', counters, 'created', ARGV[4])
redis.call('HINCRBY', counters, 'ended', ARGV[5])
return 1
