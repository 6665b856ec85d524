-- Keeps the last good response to each GET request, or one a second older, and answers with it in place of an
-- upstream that gets no calls. Every worker of a proxy has a state of its own, and so
-- copies of its own. Routes say what to do in their filter context:
--
--   breaker                            whose copies these are
--   serve                              answer from a copy; else keep one
--   ttl, entries, bytes, body          limits: seconds, and counts of copies, bytes, bytes of one
--   credentials                        requests with credentials count too
--
-- An error in here is logged by the proxy, and the call goes on as if this were not there.

-- What may tell two requests for one URL apart. A response that varies with anything else is not kept.
local distinguishing = {"accept", "accept-encoding", "accept-language", "origin"}
local credentials = {"authorization", "cookie", "proxy-authorization"}
local good = {["200"] = true, ["203"] = true, ["204"] = true}
-- Headers of the connection (RFC 9110 section 7.6.1), and what the proxy says of one call.
local dropped = {
  [":status"] = true, age = true, connection = true, ["content-length"] = true, ["keep-alive"] = true,
  ["proxy-authenticate"] = true, ["proxy-connection"] = true, te = true, trailer = true,
  ["transfer-encoding"] = true, upgrade = true, ["x-breakwater-times"] = true, ["x-envoy-upstream-service-time"] = true,
}

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

-- key tells requests apart that may have different responses; nil: not one to keep any for.
local function key(headers, context)
  if headers:get(":method") ~= "GET" or headers:get("range") or headers:get("transfer-encoding") then return nil end
  if (headers:get("content-length") or "0") ~= "0" then return nil end
  if (headers:get("cache-control") or ""):lower():find("no-store", 1, true) then return nil end
  local parts = {headers:get(":authority") or "", headers:get(":path") or ""}
  for _, name in ipairs(distinguishing) do parts[#parts + 1] = headers:get(name) or "" end
  for _, name in ipairs(credentials) do
    local value = headers:get(name)
    if value and not context:get("credentials") then return nil end
    parts[#parts + 1] = value or ""
  end
  return table.concat(parts, "\n") -- which no header has in it
end

local function keepable(headers)
  local control = (headers:get("cache-control") or ""):lower()
  if not good[headers:get(":status")] or headers:get("set-cookie") then return false end
  if control:find("no-store", 1, true) or control:find("private", 1, true) then return false end
  for name in (headers:get("vary") or ""):lower():gmatch("[^,%s]+") do
    local known = false
    for _, d in ipairs(distinguishing) do known = known or name == d end
    if not known then return false end
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

function envoy_on_request(handle)
  local context = handle:filterContext()
  local wanted = key(handle:headers(), context)
  if not wanted then return end
  local store, now = stores[context:get("breaker")], handle:timestamp() / 1000
  local copy = store and store.copies[wanted]
  if context:get("serve") then
    if copy and copy.expires > now then answer(handle, copy, now) end
  elseif not copy or now - copy.kept >= renewed then -- the response does not know its request
    handle:streamInfo():dynamicMetadata():set("breakwater.cached", "key", wanted)
  end
end

function envoy_on_response(handle)
  local context = handle:filterContext()
  if context:get("serve") then return end
  local asked = handle:streamInfo():dynamicMetadata():get("breakwater.cached")
  local headers = handle:headers()
  if not asked or not keepable(headers) then return end
  -- Nothing of the proxy's outlives the wait for the body.
  local limits = {
    breaker = context:get("breaker"), ttl = context:get("ttl"), entries = context:get("entries"),
    bytes = context:get("bytes"), body = context:get("body"),
  }
  if (tonumber(headers:get("content-length") or "") or 0) > limits.body then return end
  local copy = {key = asked["key"], status = headers:get(":status"), headers = {}, size = #asked["key"]}
  local age = tonumber(headers:get("age") or "") or 0
  for name, value in pairs(headers) do
    if not dropped[name] then
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
