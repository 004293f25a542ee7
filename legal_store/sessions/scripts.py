"""What has to happen at once in Redis. All keys of a script belong to one user, or to one firm: one slot.

A record is a hash: e (epochs of user and firm, 12 bytes each; without it, it is no session any more), m (about the
session, sealed), d (its data, sealed), v (version), w (mark of the last write, so that a repeated attempt is not taken
for somebody else's), n (last seen, ms), x (absolute end, ms), i (idle time, ms, where it is not the default), r (where
the record of its new id lies), p (where that of its old id lay). Redis ends it: its time to live is the idle time, but
never beyond x. Times are the server's own.
"""

from legal_store.keyvalue import Script

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function live(key, life)
    if redis.call('PTTL', key) < life then redis.call('PEXPIRE', key, life) end
end
"""

# Read or make an epoch and note a session in an index. KEYS epoch, index;
# ARGV a new mark, life ms, member ('' for none). Answer: the epoch.
JOIN = Script(
    _NOW
    + """
local life = tonumber(ARGV[2])
local epoch = redis.call('GET', KEYS[1])
if not epoch then
    epoch = ARGV[1]
    redis.call('SET', KEYS[1], epoch)
end
live(KEYS[1], life)
if ARGV[3] ~= '' then
    redis.call('ZADD', KEYS[2], now + life, ARGV[3])
    live(KEYS[2], life)
end
return epoch
"""
)

# Write a new record, or with ARGV replace = '1' over one that is there.
# KEYS record, user epoch, user index; ARGV the user's epoch it needs ('' for whichever there is), a new one,
# firm epoch, about, data, write mark, idle ms, whether that is the record's own ('1'), absolute ms, absolute end
# ('' for so many ms from now), old place, member, replace.
# Answer: {user epoch, now, absolute end}; 'revoked' when the user's epoch is another one, or the end has come;
# 'taken' when the id is in use.
CREATE = Script(
    _NOW
    + """
local epoch = redis.call('GET', KEYS[2])
if ARGV[1] ~= '' and epoch ~= ARGV[1] then return 'revoked' end
local ends = tonumber(ARGV[10]) or now + ARGV[9]
if ends <= now then return 'revoked' end
local written = redis.call('HMGET', KEYS[1], 'w', 'n', 'x')
if written[1] == ARGV[6] and epoch then return {epoch, written[2], written[3]} end
if written[1] and ARGV[13] ~= '1' then return 'taken' end
redis.call('DEL', KEYS[1])
if not epoch then
    epoch = ARGV[2]
    redis.call('SET', KEYS[2], epoch)
end
redis.call('HSET', KEYS[1], 'e', epoch .. ARGV[3], 'm', ARGV[4], 'd', ARGV[5], 'v', 1, 'w', ARGV[6], 'n', now,
    'x', ends)
if ARGV[8] == '1' then redis.call('HSET', KEYS[1], 'i', ARGV[7]) end
if ARGV[11] ~= '' then redis.call('HSET', KEYS[1], 'p', ARGV[11]) end
redis.call('PEXPIRE', KEYS[1], math.min(tonumber(ARGV[7]), ends - now))
redis.call('ZADD', KEYS[3], ends, ARGV[12])
live(KEYS[2], ends - now)
live(KEYS[3], ends - now)
return {epoch, now, ends}
"""
)

_FOUND = """
local found = redis.call('HMGET', KEYS[1], 'e', 'v', 'w', 'x', 'r', 'i')
"""
_LIVE = """
if not found[1] or redis.call('GET', KEYS[2]) ~= string.sub(found[1], 1, 12) then return 'gone' end
local function stay(idle)
    redis.call('PEXPIRE', KEYS[1], math.min(tonumber(found[6] or idle), found[4] - now))
end
"""

# Compare and set. KEYS record, user epoch; ARGV expected version, data, write mark, idle ms.
# Answer: the new version; 'gone'; 'conflict'.
UPDATE = Script(
    _NOW
    + _FOUND
    + _LIVE
    + """
if found[3] == ARGV[3] then return tonumber(found[2]) end
if found[2] ~= ARGV[1] or found[5] then return 'conflict' end
redis.call('HSET', KEYS[1], 'd', ARGV[2], 'v', found[2] + 1, 'w', ARGV[3], 'n', now)
stay(ARGV[4])
return found[2] + 1
"""
)

# Start the idle time anew. KEYS record, user epoch; ARGV idle ms. Answer: the epochs; 'gone'.
REFRESH = Script(
    _NOW
    + _FOUND
    + _LIVE
    + """
if not found[5] then
    redis.call('HSET', KEYS[1], 'n', now)
    stay(ARGV[1])
end
return found[1]
"""
)

# Let an id end in a moment because another takes its place. What stays of it for that moment leads a logout with the
# old id to the new one. KEYS record, user epoch, user index; ARGV expected version, new place, member, ms until it is
# forgotten, whether it is shown until then ('1').
# Answer: 'ok'; 'gone'; 'conflict' when it was changed or rotated already.
RETIRE = Script(
    _NOW
    + _FOUND
    + """
if found[5] == ARGV[2] then return 'ok' end
"""
    + _LIVE
    + """
if found[2] ~= ARGV[1] or found[5] then return 'conflict' end
redis.call('HSET', KEYS[1], 'r', ARGV[2])
redis.call('ZREM', KEYS[3], ARGV[3])
if ARGV[5] ~= '1' then redis.call('HDEL', KEYS[1], 'e') end
redis.call('PEXPIRE', KEYS[1], math.min(tonumber(ARGV[4]), redis.call('PTTL', KEYS[1])))
return 'ok'
"""
)

# End one session. What leads to its new id stays for its moment: an attempt that is repeated finds it again.
# KEYS record; ARGV '' or the place that has to be its new one.
# Answer: {1 if it was one, the places of its new and its old id, '' for none}.
END = Script("""
local near = redis.call('HMGET', KEYS[1], 'r', 'p')
if ARGV[1] ~= '' and near[1] ~= ARGV[1] then return {0, '', ''} end
local ended = redis.call('HDEL', KEYS[1], 'e')
if not near[1] then redis.call('UNLINK', KEYS[1]) end
return {ended, near[1] or '', near[2] or ''}
""")

# End all sessions of an epoch. KEYS epoch, index. Answer: how many the index held that were not over.
REVOKE = Script(
    _NOW
    + """
local count = redis.call('ZCOUNT', KEYS[2], now, '+inf')
redis.call('UNLINK', KEYS[1], KEYS[2])
return count
"""
)
