"""What has to happen at once in Redis. Each script touches keys of one space, so of one slot."""

from legal_store.keyvalue import Script

# Take the lock of a cold key, and read or make its generations, before anybody loads.
# KEYS value, lock, generations; ARGV token, lock ms, generation ms, a new mark. Answer: {got the lock, value, marks...}
BEGIN = Script("""
local held = redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2])
local answer = {held and 1 or 0, redis.call('GET', KEYS[1])}
for i = 3, #KEYS do
    local mark = redis.call('GET', KEYS[i])
    if not mark and held then
        mark = ARGV[4]
        redis.call('SET', KEYS[i], mark, 'PX', ARGV[3])
    elseif mark and redis.call('PTTL', KEYS[i]) < tonumber(ARGV[3]) then
        redis.call('PEXPIRE', KEYS[i], ARGV[3])
    end
    answer[i] = mark
end
return answer
""")

# Keep a loaded value if nothing was invalidated since BEGIN, and give the lock back if it is still ours.
# The value is the first thing written: a server asks for free memory only before a script's first write.
# KEYS value, lock, generations; ARGV token, life ms (0: only give the lock back), entry, the marks of BEGIN.
STORE = Script("""
local kept = ARGV[2] == '0' and 0 or 1
for i = 3, #KEYS do
    if redis.call('GET', KEYS[i]) ~= ARGV[i + 1] then kept = 0 end
end
if kept == 1 then
    local answer = redis.pcall('SET', KEYS[1], ARGV[3], 'PX', ARGV[2])
    if answer.err then kept = answer end
end
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
return kept
""")

# Keep a value under the generations of this moment; those that would end before it live on, after it was kept.
# KEYS value, generations; ARGV a new mark, generation ms, life ms, header, body.
PUT = Script("""
local marks = {}
for i = 2, #KEYS do
    local mark = redis.call('GET', KEYS[i])
    if not mark then
        mark = ARGV[1]
        redis.call('SET', KEYS[i], mark, 'PX', ARGV[2])
    end
    marks[#marks + 1] = mark
end
redis.call('SET', KEYS[1], ARGV[4] .. table.concat(marks) .. ARGV[5], 'PX', ARGV[3])
for i = 2, #KEYS do
    if redis.call('PTTL', KEYS[i]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[i], ARGV[2]) end
end
return 1
""")

# Read or make generations for a caller that will load by itself.
# KEYS generations; ARGV a new mark, generation ms. Answer: the marks.
FENCE = Script("""
local marks = {}
for i = 1, #KEYS do
    local mark = redis.call('GET', KEYS[i])
    if not mark then
        mark = ARGV[1]
        redis.call('SET', KEYS[i], mark, 'PX', ARGV[2])
    end
    marks[i] = mark
end
return marks
""")
