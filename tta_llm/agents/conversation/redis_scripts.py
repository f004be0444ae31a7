"""What Redis does as one step, in Lua.

Each script gets the keys of a session (what is known of it, its turns, the numbers of their ids)
and that of its tenant's index, which tells by session when it ends. The index itself lasts as long
as the session of its that lasts longest.
"""

from __future__ import annotations

__all__ = ["BEGIN", "CHANGE", "DELETE", "DELETE_SOME", "END", "TURNS"]

_KEEP = """
local function keep(life)
    life = tonumber(life)
    local time = redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now)
    local index_life = redis.call('PTTL', KEYS[4])
    redis.call('ZADD', KEYS[4], life == 0 and '+inf' or now + life, string.match(KEYS[1], '%x+$'))
    for place = 1, 3 do
        if life == 0 then redis.call('PERSIST', KEYS[place])
        else redis.call('PEXPIRE', KEYS[place], life) end
    end
    if life == 0 then redis.call('PERSIST', KEYS[4])
    elseif index_life ~= -1 and index_life < life then redis.call('PEXPIRE', KEYS[4], life) end
end
"""

BEGIN = f"""{_KEEP}
local number = redis.call('HGET', KEYS[3], ARGV[1])
if number then
    local known = redis.call('HGET', KEYS[2], number)
    if string.sub(known, 1, 1) == '+' then
        keep(ARGV[3])
        return {{tonumber(number), string.sub(known, 2)}}
    end
else
    number = redis.call('HINCRBY', KEYS[1], 'turns', 1)
    redis.call('HSETNX', KEYS[1], 'version', 0)
    redis.call('HSET', KEYS[3], ARGV[1], number)
end
redis.call('HSET', KEYS[2], number, ARGV[2])
keep(ARGV[3])
return {{tonumber(number), ''}}
"""

END = f"""{_KEEP}
if redis.call('HGET', KEYS[3], ARGV[1]) ~= ARGV[4] then return 0 end
if string.sub(redis.call('HGET', KEYS[2], ARGV[4]), 1, 1) == '+' then return 0 end
redis.call('HSET', KEYS[2], ARGV[4], ARGV[2])
keep(ARGV[3])
return 1
"""

TURNS = """
local first, before, limit = ARGV[1] + 1, tonumber(ARGV[2]), tonumber(ARGV[3])
local last = tonumber(redis.call('HGET', KEYS[1], 'turns') or 0)
if before >= 0 and before <= last then last = before - 1 end
if ARGV[4] == '1' then last = math.min(last, first + limit - 1)
else first = math.max(first, last - limit + 1) end
local found = {}
for number = first, last do found[#found + 1] = redis.call('HGET', KEYS[2], number) end
return {first, found}
"""

CHANGE = f"""{_KEEP}
if (redis.call('HGET', KEYS[1], 'version') or '0') ~= ARGV[4] then return 0 end
redis.call('HSET', KEYS[1], 'summary', ARGV[1], 'summarized', ARGV[2], 'pinned', ARGV[3])
redis.call('HINCRBY', KEYS[1], 'version', 1)
keep(ARGV[5])
return 1
"""

DELETE = """
redis.call('ZREM', KEYS[4], string.match(KEYS[1], '%x+$'))
local there = redis.call('EXISTS', KEYS[1])
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3])
return there
"""

DELETE_SOME = """
local there = 0
local sessions = redis.call('ZRANGE', KEYS[1], 0, ARGV[1] - 1)
for _, session in ipairs(sessions) do
    local name = KEYS[1] .. ':' .. session
    there = there + redis.call('EXISTS', name)
    redis.call('UNLINK', name, name .. ':turns', name .. ':ids')
    redis.call('ZREM', KEYS[1], session)
end
return {there, redis.call('ZCARD', KEYS[1])}
"""
