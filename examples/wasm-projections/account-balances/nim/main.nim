## A projection that keeps the balance of every account, emits an event when one is overdrawn,
## and answers which accounts have the most: against the bare contract, docs/ABI.md of Gnomon.

{.push stackTrace: off.}

# What the host offers: "What a guest imports" in docs/ABI.md. Buffers are the guest's own.
{.emit: """/*INCLUDESECTION*/
#define HOST(module, name) __attribute__((import_module(module), import_name(name)))
HOST("projection_v1", "batch_read") int host_batch_read(void *buf, unsigned long cap);
HOST("projection_v1", "state_get") int host_state_get(void *key, unsigned long klen, void *buf, unsigned long cap);
HOST("projection_v1", "state_put") int host_state_put(void *key, unsigned long klen, void *value, unsigned long vlen);
HOST("projection_v1", "state_delete") int host_state_delete(void *key, unsigned long klen);
HOST("projection_v1", "state_scan") long long host_state_scan(void *prefix, unsigned long plen, void *after, unsigned long alen, unsigned limit, void *buf, unsigned long cap);
HOST("projection_v1", "emit") int host_emit(unsigned event, void *subject, unsigned long slen, void *headers, unsigned long hlen, void *data, unsigned long dlen);
HOST("projection_v1", "config_read") int host_config_read(void *buf, unsigned long cap);
HOST("projection_v1", "log") void host_log(int level, void *text, unsigned long len);
HOST("projection_v1", "fail") void host_fail(int event, void *text, unsigned long len);
HOST("projection_v1", "input_read") int host_input_read(void *buf, unsigned long cap);
HOST("projection_v1", "output_write") int host_output_write(void *bytes, unsigned long len);
HOST("projection_v1_json", "fields_declare") int host_fields_declare(void *names, unsigned long len);
HOST("projection_v1_json", "fields_read") int host_fields_read(void *buf, unsigned long cap);
""".}

{.push importc, nodecl, cdecl.}
proc host_batch_read(buf: pointer, cap: int): int32
proc host_state_get(key: pointer, klen: int, buf: pointer, cap: int): int32
proc host_state_put(key: pointer, klen: int, value: pointer, vlen: int): int32
proc host_state_delete(key: pointer, klen: int): int32
proc host_state_scan(prefix: pointer, plen: int, after: pointer, alen: int, limit: uint32, buf: pointer, cap: int): int64
proc host_emit(event: uint32, subject: pointer, slen: int, headers: pointer, hlen: int, data: pointer, dlen: int): int32
proc host_config_read(buf: pointer, cap: int): int32
proc host_log(level: int32, text: pointer, len: int)
proc host_fail(event: int32, text: pointer, len: int)
proc host_input_read(buf: pointer, cap: int): int32
proc host_output_write(bytes: pointer, len: int): int32
proc host_fields_declare(names: pointer, len: int): int32
proc host_fields_read(buf: pointer, cap: int): int32
{.pop.}

type
  Name = enum ## The fields that the host looks for, in the order in which they are declared.
    account, owner, amount

  Field = object
    kind: uint32
    text: string
    integer: int64 # 0 unless it is a whole number

  Event = object
    at: int # of its record in the batch
    index: int

  Account = object ## The value of a key. The owner stays JSON, as it is stored.
    owner: string
    balance: int64
    events: int64 # so many were applied

  Holder = object ## An account as answers show it.
    name: string
    balance: int64

  Buffer = object ## What the host writes into. It grows, and is kept.
    bytes: string # all of it is room
    size: int # of what is there

const
  prefix = "account\t" # begins the keys of accounts; the account's name follows
  most = 999_999_999_999_999

var
  overdraft: int64 = 0 # how far below zero an account may be
  alerts = "alerts.account" # first part of the subject of what is emitted
  batch, table, got, page: Buffer
  message: string # why a step failed
  current: int32 = -1 # the event that is handled: its index in the batch

# ---- bytes and JSON ----

func load16(s: string, at: int): int = s[at].ord or s[at + 1].ord shl 8
func load32(s: string, at: int): int = s.load16(at) or s.load16(at + 2) shl 16
func load64(s: string, at: int): uint64 = uint64(cast[uint32](s.load32(at))) or uint64(cast[uint32](s.load32(at + 4))) shl 32
func part(s: string, at, size: int): string = s[at ..< at + size]

proc put(s: var string, n: int64) =
  ## Appends a whole number.
  var digits: array[20, char]
  var at = digits.len
  var rest = if n < 0: 0'u64 - cast[uint64](n) else: cast[uint64](n)
  while true:
    dec at
    digits[at] = chr(ord('0') + int(rest mod 10))
    rest = rest div 10
    if rest == 0: break
  if n < 0: s.add '-'
  for i in at ..< digits.len: s.add digits[i]

proc quote(s: var string, text: string) =
  ## Appends a JSON string, as RFC 8785 writes it.
  const hex = "0123456789abcdef"
  s.add '"'
  for c in text:
    case c
    of '"', '\\': (s.add '\\'; s.add c)
    of '\b': s.add "\\b"
    of '\t': s.add "\\t"
    of '\n': s.add "\\n"
    of '\f': s.add "\\f"
    of '\r': s.add "\\r"
    of '\0'..'\a', '\v', '\x0e'..'\x1f':
      s.add "\\u00"
      s.add hex[c.ord shr 4]
      s.add hex[c.ord and 15]
    else: s.add c
  s.add '"'

func textLength(json: string): int =
  ## How many bytes a string that quote wrote says.
  var i = 1
  while i < json.len - 1:
    i += (if json[i] != '\\': 1 elif json[i + 1] != 'u': 2 else: 6)
    inc result

type Reader = object ## Reads the JSON that settings, requests and values are.
  json: string
  at: int

proc peek(r: var Reader): char =
  while r.at < r.json.len and r.json[r.at] in {' ', '\t', '\n', '\r'}: inc r.at
  if r.at < r.json.len: r.json[r.at] else: '\0'

proc take(r: var Reader, c: char): bool =
  result = r.peek == c
  if result: inc r.at

proc skipString(r: var Reader): string =
  ## Takes a string, and returns it as it stands, with its quotes; empty when it is none.
  if r.peek != '"': return ""
  let start = r.at
  inc r.at
  while r.at < r.json.len and r.json[r.at] != '"':
    r.at += (if r.json[r.at] == '\\': 2 else: 1)
  if r.at >= r.json.len: return ""
  inc r.at
  r.json[start ..< r.at]

proc number(r: var Reader, n: var int64): bool =
  ## Takes a whole number of at most 18 digits.
  let negative = r.take('-')
  let start = r.at
  n = 0
  while r.at < r.json.len and r.json[r.at] in {'0'..'9'} and r.at - start < 19:
    if r.at - start < 18: n = n * 10 + int64(r.json[r.at].ord - '0'.ord)
    inc r.at
  let digits = r.at - start
  if negative: n = -n
  if digits < 1 or digits > 18 or (digits > 1 and r.json[start] == '0'): return false
  r.at == r.json.len or r.json[r.at] notin {'.', 'e', 'E'}

proc unescaped(json: string, text: var string): bool =
  ## What a string says that has no escapes beyond ASCII.
  if json.len < 2: return false
  text = ""
  var i = 1
  while i < json.len - 1:
    var c = json[i]
    if c == '\\':
      inc i
      case json[i]
      of 'b': c = '\b'
      of 't': c = '\t'
      of 'n': c = '\n'
      of 'f': c = '\f'
      of 'r': c = '\r'
      of 'u':
        var code = 0
        for h in json[i + 1 .. i + 4]:
          code = code shl 4 or (if h <= '9': h.ord - '0'.ord else: (h.ord or 32) - 'a'.ord + 10)
        if code > 127: return false
        c = chr(code)
        i += 4
      else: c = json[i]
    text.add c
    inc i
  true

proc ends(r: var Reader): bool = r.peek == '\0' and r.at == r.json.len

# ---- buffers and results ----

proc failed(why: string): bool =
  ## Says what went wrong. It returns false.
  message = why
  false

proc checked(code: int64, what: string): bool =
  if code >= 0: return true
  message = what & " gave "
  message.put code
  false

template fill(buf: var Buffer, read: untyped): bool =
  ## Reads until the buffer is large enough for all that there is.
  var n = read(addr buf.bytes[0], buf.bytes.len)
  while n > buf.bytes.len:
    buf.bytes.setLen(n + n div 4)
    n = read(addr buf.bytes[0], buf.bytes.len)
  buf.size = max(n, 0)
  checked(n, "a read")

proc address(s: string): pointer =
  ## 0 is an address, too: what is empty may be handed to the host.
  if s.len > 0: unsafeAddr s[0] else: nil

# ---- events: "A batch" in docs/ABI.md ----

proc sequence(e: Event): int64 = cast[int64](batch.bytes.load64(e.at + 8))

func lower(c: char): char = (if c in {'A'..'Z'}: chr(c.ord + 32) else: c)

proc isAt(name: string, at, size: int): bool =
  ## Whether the name stands there in the batch, without regard to case.
  if name.len != size: return false
  for i in 0 ..< size:
    if name[i].lower != batch.bytes[at + i].lower: return false
  true

proc header(e: Event, name: string): string =
  ## The value of a header; empty when it is absent.
  var at = e.at + 40 + batch.bytes.load32(e.at + 24)
  let stop = at + batch.bytes.load32(e.at + 28)
  while at < stop:
    let n = batch.bytes.load16(at)
    let v = batch.bytes.load16(at + 2)
    if name.isAt(at + 4, n): return batch.bytes.part(at + 4 + n, v)
    at += 4 + n + v

proc field(e: Event, name: Name): Field =
  ## A cell of the table that the host makes: "projection_v1_json" in docs/ABI.md.
  let cell = (e.index * (ord(high(Name)) + 1) + ord(name)) * 32
  let text = table.bytes.load32(cell + 16)
  result.kind = uint32(table.bytes.load32(cell))
  if text > 0:
    result.text = table.bytes.part(text, table.bytes.load32(cell + 20))
  elif result.kind == 4: # what stands between the quotes
    result.text = batch.bytes.part(table.bytes.load32(cell + 8) + 1, table.bytes.load32(cell + 12) - 2)
  if (table.bytes.load32(cell + 4) and 1) == 1:
    result.integer = cast[int64](table.bytes.load64(cell + 24))

proc text(e: Event, name: Name, found: var string): bool =
  ## A field that must say something.
  let f = e.field(name)
  if f.kind == 255: return failed(f.text) # no JSON object: why
  if f.kind != 4 or f.text.len == 0:
    return failed((if name == owner: "owner" else: "account") & " must be a text")
  found = f.text
  true

# ---- the projection ----

proc decode(json: string): Account =
  ## Reads what store wrote: always the same fields, in the same order.
  var r = Reader(json: json, at: "{\"owner\":".len)
  result.owner = r.skipString
  r.at += ",\"balance\":".len
  discard r.number(result.balance)
  r.at += ",\"events\":".len
  discard r.number(result.events)

proc load(name: string, a: var Account, found: var bool): bool =
  let key = prefix & name
  var n = host_state_get(key.address, key.len, addr got.bytes[0], got.bytes.len)
  while n > got.bytes.len:
    got.bytes.setLen(n + n div 4)
    n = host_state_get(key.address, key.len, addr got.bytes[0], got.bytes.len)
  found = n != -1
  if not found: return true
  if not checked(n, "state_get"): return false
  a = decode(got.bytes.part(0, n))
  true

proc store(e: Event, name: string, a: Account): bool =
  var json = "{\"owner\":" & a.owner & ",\"balance\":"
  json.put a.balance
  json.add ",\"events\":"
  json.put a.events
  json.add ",\"last\":"
  json.quote e.header("ce-time")
  json.add '}'
  let key = prefix & name
  checked(host_state_put(key.address, key.len, json.address, json.len), "state_put")

proc addHeader(s: var string, name, value: string) =
  ## {u16 nlen, u16 vlen, name, value}
  for n in [name.len, value.len]:
    s.add chr(n and 255)
    s.add chr(n shr 8)
  s.add name
  s.add value

proc alert(e: Event, name: string, a: Account): bool =
  ## Emits that the account is overdrawn: once, however often this is computed anew.
  let subject = alerts & ".overdrawn"
  var length, headers: string
  length.put a.owner.textLength
  headers.addHeader("ce-type", "account.overdrawn")
  headers.addHeader("account-owner-length", length)
  var data = "{\"account\":"
  data.quote name
  data.add ",\"balance\":"
  data.put a.balance
  data.add ",\"sequence\":"
  data.put e.sequence
  data.add '}'
  checked(host_emit(uint32(e.index), subject.address, subject.len, headers.address, headers.len, data.address, data.len), "emit")

proc close(name: string, a: Account): bool =
  if a.balance != 0:
    message = "account " & name & " is closed with a balance of "
    message.put a.balance
    return false
  var line = "account " & name & " closed after "
  line.put a.events + 1
  line.add " events"
  host_log(0, line.address, line.len)
  let key = prefix & name
  checked(host_state_delete(key.address, key.len), "state_delete")

proc transfer(e: Event, name: string, a: var Account, change: int64): bool =
  let before = a.balance
  a.balance += change
  inc a.events
  if before >= -overdraft and a.balance < -overdraft and not e.alert(name, a): return false
  e.store(name, a)

proc onEvent(e: Event): bool =
  ## Is called for every event, in the order of the stream. When it returns false, all that the
  ## event wrote and emitted is taken back.
  let kind = e.header("ce-type")
  if kind notin ["account.opened", "account.deposited", "account.withdrawn", "account.closed"]: return true
  var name, owner: string
  var a: Account
  var found: bool
  if not e.text(Name.account, name): return false
  if kind == "account.opened":
    if not e.text(Name.owner, owner) or not load(name, a, found): return false
    if found: return failed("account " & name & " is open already")
    a = Account(events: 1)
    a.owner.quote owner
    return e.store(name, a)
  let amount = e.field(Name.amount).integer
  if kind != "account.closed" and (amount < 1 or amount > most):
    return failed("amount must be a whole number from 1 to 999999999999999")
  if not load(name, a, found): return false
  if not found: return failed("account " & name & " is not open")
  if kind == "account.closed": return close(name, a)
  e.transfer(name, a, if kind == "account.withdrawn": -amount else: amount)

proc scanAll(all: var seq[Holder]): bool =
  ## All accounts, in the order of their names.
  var after = ""
  let start = prefix
  while true:
    var r = host_state_scan(start.address, start.len, after.address, after.len, 0, addr page.bytes[0], page.bytes.len)
    if r == -2: # an entry is larger: this holds any
      page.bytes.setLen(2 shl 20)
      r = host_state_scan(start.address, start.len, after.address, after.len, 0, addr page.bytes[0], page.bytes.len)
    if r == 0: return true
    if not checked(r, "state_scan"): return false
    let stop = int(r and 0xffff_ffff)
    var at = 0
    while at < stop:
      let k = page.bytes.load32(at)
      let v = page.bytes.load32(at + 4)
      after = page.bytes.part(at + 8, k)
      all.add Holder(name: after[prefix.len .. ^1], balance: decode(page.bytes.part(at + 8 + k, v)).balance)
      at += 8 + k + v

proc best(all: seq[Holder], top: int): seq[Holder] =
  ## Those with the highest balances; of equal ones the first stays first.
  for h in all:
    var i = result.len
    while i > 0 and result[i - 1].balance < h.balance: dec i
    if i < top: result.insert(h, i)
    if result.len > top: result.setLen(top)

proc topOf(request: string, top: var int64): bool =
  top = 3
  var r = Reader(json: request)
  if request.len == 0: return true
  if not r.take('{'): return false
  if r.take('}'): return r.ends
  r.skipString == "\"top\"" and r.take(':') and r.peek != '\0' and r.number(top) and r.take('}') and r.ends and top in 1'i64..100'i64

proc onQuery(request: string): bool =
  ## Answers a request such as {"top":3}.
  var top: int64
  if not topOf(request, top): return failed("top must be from 1 to 100")
  var all: seq[Holder]
  if not scanAll(all): return false
  var answer = "["
  for i, h in best(all, int(top)):
    answer.add(if i == 0: "{\"account\":" else: ",{\"account\":")
    answer.quote h.name
    answer.add ",\"balance\":"
    answer.put h.balance
    answer.add '}'
  answer.add ']'
  checked(host_output_write(answer.address, answer.len), "output_write")

proc setting(r: var Reader): bool =
  var name: string
  if not unescaped(r.skipString, name) or not r.take(':'): return failed("settings: a name is expected")
  case name
  of "overdraft":
    if r.peek == '\0' or not r.number(overdraft) or overdraft < 0:
      return failed("settings: overdraft must be a whole number from 0")
  of "alerts":
    if not unescaped(r.skipString, alerts): return failed("settings: alerts must be a text")
  else: return failed("settings: " & name & " is unknown: there are overdraft, alerts")
  true

proc start(): bool =
  for buf in [addr batch, addr table, addr got, addr page]: buf.bytes.setLen(64 shl 10)
  if not fill(batch, host_config_read): return false
  var r = Reader(json: batch.bytes.part(0, batch.size))
  if not r.take('{'): return failed("settings: not an object")
  while not r.take('}'):
    if not r.setting: return false
    discard r.take(',')
  # {u16 length, name}*: the host finds these fields, for a whole batch at once.
  var names: string
  for name in ["account", "owner", "amount"]:
    names.add chr(name.len)
    names.add '\0'
    names.add name
  checked(host_fields_declare(names.address, names.len), "fields_declare")

# ---- what the host calls ----

proc result(ok: bool): int32 =
  ## 0, or 1 after the host was told what went wrong, and with which event.
  if not ok: host_fail(current, message.address, message.len)
  current = -1
  int32(not ok)

proc eachEvent(): bool =
  if not fill(batch, host_batch_read) or not fill(table, host_fields_read): return false
  var e = Event()
  while e.at < batch.size:
    current = int32(e.index)
    if not e.onEvent: return false
    e.at += batch.bytes.load32(e.at)
    inc e.index
  true

proc NimMain() {.importc, cdecl.} ## Gives the variables above their values.

{.push exportc, cdecl.}
proc init(): int32 =
  NimMain()
  result(start())
proc apply(): int32 = result(eachEvent())
proc query(): int32 = result(fill(batch, host_input_read) and onQuery(batch.bytes.part(0, batch.size)))
{.pop.}
