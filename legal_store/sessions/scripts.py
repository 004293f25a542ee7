"""What has to happen at once in Redis. All keys of a script belong to one user, or to one firm: one slot.

A record is a hash: e (epochs of user and firm, 12 bytes each), m (about the session, sealed), d (its data, sealed), v
(version), w (mark of the last write, so that a repeated attempt is not taken for somebody else's), n (last seen, ms),
x (absolute end, ms), r (there once the id was rotated away). Redis ends it: its time to live is the idle time, but
never beyond x. Times are the server's own.
"""

from legal_store.keyvalue import Script

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

# Read or make an epoch and note a session in an index. KEYS epoch, index;
# ARGV a new mark, life ms, member ('' for none). Answer: the epoch.
JOIN = Script(
    _NOW
    + """
local epoch = redis.call('GET', KEYS[1])
if not epoch then
    epoch = ARGV[1]
    redis.call('SET', KEYS[1], epoch, 'PX', ARGV[2])
elseif redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
if ARGV[3] ~= '' then
    redis.call('ZADD', KEYS[2], now + ARGV[2], ARGV[3])
    if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[2], ARGV[2]) end
end
return epoch
"""
)

# Write a new record, or with ARGV replace = '1' over one that is there.
# KEYS record, user epoch, user index; ARGV epochs, about, data, write mark, idle ms, absolute ms, member, replace.
# Answer: 'ok'; 'revoked' when the user's epoch is another one; 'taken' when the id is in use.
CREATE = Script(
    _NOW
    + """
if redis.call('GET', KEYS[2]) ~= string.sub(ARGV[1], 1, 12) then return 'revoked' end
local written = redis.call('HGET', KEYS[1], 'w')
if written == ARGV[4] then return 'ok' end
if written and ARGV[8] ~= '1' then return 'taken' end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'e', ARGV[1], 'm', ARGV[2], 'd', ARGV[3], 'v', 1, 'w', ARGV[4], 'n', now,
    'x', now + ARGV[6])
redis.call('PEXPIRE', KEYS[1], math.min(tonumber(ARGV[5]), tonumber(ARGV[6])))
redis.call('ZADD', KEYS[3], now + ARGV[6], ARGV[7])
if redis.call('PTTL', KEYS[3]) < tonumber(ARGV[6]) then redis.call('PEXPIRE', KEYS[3], ARGV[6]) end
return 'ok'
"""
)

_LIVE = """
local found = redis.call('HMGET', KEYS[1], 'e', 'v', 'w', 'x', 'r')
if not found[1] or redis.call('GET', KEYS[2]) ~= string.sub(found[1], 1, 12) then return 'gone' end
"""

# Compare and set. KEYS record, user epoch; ARGV expected version, data, write mark, idle ms.
# Answer: the new version; 'gone'; 'conflict'.
UPDATE = Script(
    _NOW
    + _LIVE
    + """
if found[3] == ARGV[3] then return tonumber(found[2]) end
if found[2] ~= ARGV[1] or found[5] then return 'conflict' end
redis.call('HSET', KEYS[1], 'd', ARGV[2], 'v', found[2] + 1, 'w', ARGV[3], 'n', now)
redis.call('PEXPIRE', KEYS[1], math.min(tonumber(ARGV[4]), found[4] - now))
return found[2] + 1
"""
)

# Start the idle time anew. KEYS record, user epoch; ARGV idle ms. Answer: the epochs; 'gone'.
REFRESH = Script(
    _NOW
    + _LIVE
    + """
if not found[5] then
    redis.call('HSET', KEYS[1], 'n', now)
    redis.call('PEXPIRE', KEYS[1], math.min(tonumber(ARGV[1]), found[4] - now))
end
return found[1]
"""
)

# Let an id end in a moment because another takes its place. KEYS record, user epoch; ARGV grace ms, write mark.
# Answer: 'ok'; 'gone'; 'conflict' when it was rotated already.
RETIRE = Script(
    _LIVE
    + """
if found[5] == ARGV[2] then return 'ok' end
if found[5] then return 'conflict' end
if tonumber(ARGV[1]) <= 0 then
    redis.call('DEL', KEYS[1])
else
    redis.call('HSET', KEYS[1], 'r', ARGV[2])
    redis.call('PEXPIRE', KEYS[1], math.min(tonumber(ARGV[1]), redis.call('PTTL', KEYS[1])))
end
return 'ok'
"""
)

# End all sessions of an epoch. KEYS epoch, index. Answer: how many the index held that were not over.
REVOKE = Script(
    _NOW
    + """
local count = redis.call('ZCOUNT', KEYS[2], now, '+inf')
redis.call('UNLINK', KEYS[1], KEYS[2])
return count
"""
)

# Forget what is over. KEYS index. Answer: how many.
SWEEP = Script(_NOW + "return redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)")
