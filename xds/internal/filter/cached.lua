-- Keeps the last good response to each GET request, or one a second older, and answers with it in place of an
-- upstream that gets no calls. Every worker of a proxy has a state of its own, and so
-- copies of its own. Routes say what to do in their filter context:
--
--   breaker                            whose copies these are
--   serve                              answer from a copy; else keep one
--   ttl, entries, bytes, body          limits: seconds, and counts of copies, bytes, bytes of one
--   credentials                        requests with credentials count too
--   headers                            what tells requests apart, with commas between; *: all but the irrelevant ones
--   framed                             the protocol marks the end of each response, whatever its headers say
--
-- Before this script stands the set of names irrelevant, from package policy.
--
-- An error in here is logged by the proxy, and the call goes on as if this were not there.

local function set(...)
  local all = {}
  for _, name in ipairs({...}) do all[name] = true end
  return all
end

local credentials = set("authorization", "cookie", "proxy-authorization")
local good = set("200", "203", "204")
-- Parts of a response that were meant for one caller, or that the proxy says of one call.
local dropped = set(":status", "age", "authentication-info", "proxy-authenticate", "proxy-authentication-info",
  "x-breakwater-times", "x-envoy-attempt-count", "x-envoy-upstream-service-time")

-- A request with more than so many bytes of headers has no copy, so that keys do not take the place of copies.
local longest = 8192

-- A copy is not renewed before it is so many seconds old: keeping one is most of the cost.
local renewed = 1

-- A store has its copies by key and in a list, the oldest first.
local stores = {}

local function unlink(store, copy)
  if copy.older then copy.older.newer = copy.newer else store.oldest = copy.newer end
  if copy.newer then copy.newer.older = copy.older else store.newest = copy.older end
  store.copies[copy.key] = nil
  store.count, store.bytes = store.count - 1, store.bytes - copy.size
end

local function append(store, copy)
  copy.older = store.newest
  if store.newest then store.newest.newer = copy else store.oldest = copy end
  store.newest, store.copies[copy.key] = copy, copy
  store.count, store.bytes = store.count + 1, store.bytes + copy.size
end

-- What is too old goes from every store, so that those of breakers that are gone empty too.
local function expire(now)
  for breaker, store in pairs(stores) do
    while store.oldest and store.oldest.expires <= now do unlink(store, store.oldest) end
    if store.count == 0 then stores[breaker] = nil end
  end
end

local function keep(copy, limits, now)
  expire(now)
  local store = stores[limits.breaker]
  if not store then
    store = {copies = {}, count = 0, bytes = 0}
    stores[limits.breaker] = store
  end
  local before = store.copies[copy.key]
  if before then unlink(store, before) end
  append(store, copy)
  while store.count > limits.entries or store.bytes > limits.bytes do unlink(store, store.oldest) end
end

-- What is in the headers field of a filter context, by its text.
local rules = {}

-- counts tells whether a header tells requests apart.
local function counts(headers, name)
  if headers == "*" then return not irrelevant[name] end
  local rule = rules[headers]
  if not rule then
    rule = {}
    for listed in headers:gmatch("[^,]+") do rule[listed] = true end
    rules[headers] = rule
  end
  return rule[name] or credentials[name] or name:sub(1, 1) == ":"
end

-- key is all that may make a difference to the response; nil: no copy answers this request. No header has a line
-- break in it, so no two requests have one key. The rule is a part of it, since a policy may change it.
local function key(handle, context)
  local headers = handle:headers()
  if headers:get(":method") ~= "GET" or headers:get("range") or headers:get("transfer-encoding") then return nil end
  if (headers:get("content-length") or "0") ~= "0" then return nil end
  if (headers:get("cache-control") or ""):lower():find("no-store", 1, true) then return nil end
  local rule, kept = context:get("headers"), context:get("credentials")
  local names, values, size = {}, {}, 0
  for name, value in pairs(headers) do
    if credentials[name] and not kept then return nil end
    if counts(rule, name) then
      size = size + #name + #value
      if size > longest then return nil end
      local before = values[name]
      if not before then names[#names + 1] = name end
      values[name] = before and before .. "\r" .. value or value
    end
  end
  -- HTTP/2 has bodies that no header tells of. To know whether one comes can take a wait, which a request that
  -- ends with trailers gets through; what was the proxy's before it is gone then, and using it an error.
  for _ in handle:bodyChunks() do return nil end
  if not pcall(context.get, context, "serve") then return nil end
  table.sort(names)
  local parts = {rule}
  for _, name in ipairs(names) do
    parts[#parts + 1] = name
    parts[#parts + 1] = values[name]
  end
  return table.concat(parts, "\n")
end

local function keepable(headers, context)
  local status, control, rule = headers:get(":status"), (headers:get("cache-control") or ""):lower(), context:get("headers")
  if not good[status] or headers:get("set-cookie") or headers:get("set-cookie2") then return false end
  if control:find("no-store", 1, true) or control:find("private", 1, true) then return false end
  if headers:get("content-encoding") and not counts(rule, "accept-encoding") then return false end
  -- One that ends with its connection may have been cut short.
  local ends = headers:get("content-length") or headers:get("transfer-encoding") or status == "204"
  if not ends and not context:get("framed") then return false end
  for name in (headers:get("vary") or ""):lower():gmatch("[^,%s]+") do
    if name == "*" or not counts(rule, name) then return false end
  end
  return true
end

local function body(handle, limit)
  local parts, size = {}, 0
  for chunk in handle:bodyChunks() do
    local n = chunk:length()
    size = size + n
    if size > limit then return nil end
    if n > 0 then parts[#parts + 1] = chunk:getBytes(0, n) end
  end
  return table.concat(parts)
end

local function answer(handle, copy, now)
  local headers = {[":status"] = copy.status, age = string.format("%d", math.max(now - copy.made, 0))}
  for name, values in pairs(copy.headers) do headers[name] = values end
  handle:respond(headers, copy.body)
end

-- Keys of requests whose responses are to be kept: a response does not know its request, and what the stream knows
-- is logged, so it has a number alone. Beyond so many bytes the oldest make way, which then have no copy; each counts
-- as a little more than its key, for what it takes beside.
local asked, first, last, held, most, beside = {}, 1, 0, 0, 4 * 1024 * 1024, 64

local function recall(number)
  local wanted = asked[number]
  if wanted then
    asked[number] = nil
    held = held - #wanted - beside
  end
  return wanted
end

local function remember(wanted)
  last = last + 1
  asked[last] = wanted
  held = held + #wanted + beside
  while held > most or not asked[first] do
    recall(first)
    first = first + 1
  end
  return last
end

function envoy_on_request(handle)
  local context = handle:filterContext()
  local wanted = key(handle, context)
  if not wanted then return end
  local store, now = stores[context:get("breaker")], handle:timestamp() / 1000
  local copy = store and store.copies[wanted]
  if context:get("serve") then
    -- A ttl that was lowered since holds for the copy too.
    if copy and math.min(copy.expires, copy.kept + context:get("ttl")) > now then answer(handle, copy, now) end
  elseif not copy or now - copy.kept >= renewed then
    handle:streamInfo():dynamicMetadata():set("breakwater.cached", "turn", remember(wanted))
  end
end

function envoy_on_response(handle)
  local context = handle:filterContext()
  if context:get("serve") then return end
  local number = handle:streamInfo():dynamicMetadata():get("breakwater.cached")
  local wanted = number and recall(number["turn"])
  local headers = handle:headers()
  if not wanted or not keepable(headers, context) then return end
  -- Nothing of the proxy's outlives the wait for the body.
  local limits = {
    breaker = context:get("breaker"), ttl = context:get("ttl"), entries = context:get("entries"),
    bytes = context:get("bytes"), body = context:get("body"),
  }
  if (tonumber(headers:get("content-length") or "") or 0) > limits.body then return end
  local copy = {key = wanted, status = headers:get(":status"), headers = {}, size = #wanted}
  local age = tonumber(headers:get("age") or "") or 0
  for name, value in pairs(headers) do
    if not dropped[name] and not irrelevant[name] then
      local values = copy.headers[name] or {}
      values[#values + 1] = value
      copy.headers[name], copy.size = values, copy.size + #name + #value
    end
  end
  local now = handle:timestamp() / 1000
  copy.body = body(handle, limits.body)
  if not copy.body then return end
  copy.size = copy.size + #copy.body
  copy.kept, copy.made, copy.expires = now, now - age, now + limits.ttl
  keep(copy, limits, now)
end
