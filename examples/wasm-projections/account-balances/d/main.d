/// A projection that keeps the balance of every account, emits an event when one is overdrawn,
/// and answers which accounts have the most: against the bare contract, docs/ABI.md of Gnomon, in
/// D without its runtime (-betterC).
module main;

import ldc.attributes : llvmAttr;

nothrow @nogc:

// What the host offers: "What a guest imports" in docs/ABI.md. Buffers are the guest's own.
private enum v1 = llvmAttr("wasm-import-module", "projection_v1");
private enum v1json = llvmAttr("wasm-import-module", "projection_v1_json");
private enum named(string name) = llvmAttr("wasm-import-name", name);

extern (C)
{
    @v1 @named!"batch_read" int hostBatchRead(void* buf, size_t cap);
    @v1 @named!"state_get" int hostStateGet(const void* key, size_t klen, void* buf, size_t cap);
    @v1 @named!"state_put" int hostStatePut(const void* key, size_t klen, const void* value, size_t vlen);
    @v1 @named!"state_delete" int hostStateDelete(const void* key, size_t klen);
    @v1 @named!"state_scan" long hostStateScan(const void* prefix, size_t plen, const void* after, size_t alen, uint limit, void* buf, size_t cap);
    @v1 @named!"emit" int hostEmit(uint event, const void* subject, size_t slen, const void* headers, size_t hlen, const void* data, size_t dlen);
    @v1 @named!"config_read" int hostConfigRead(void* buf, size_t cap);
    @v1 @named!"log" void hostLog(int level, const void* text, size_t len);
    @v1 @named!"fail" void hostFail(int event, const void* text, size_t len);
    @v1 @named!"input_read" int hostInputRead(void* buf, size_t cap);
    @v1 @named!"output_write" int hostOutputWrite(const void* bytes, size_t len);
    @v1json @named!"fields_declare" int hostFieldsDeclare(const void* names, size_t len);
    @v1json @named!"fields_read" int hostFieldsRead(void* buf, size_t cap);
}

// ---- the projection ----

__gshared long overdraft = 0; // how far below zero an account may be
__gshared Text alerts = "alerts.account"; // first part of the subject of what is emitted

enum prefix = "account\t"; // begins the keys of accounts; the account's name follows
enum most = 999_999_999_999_999;

/// The value of a key. The owner stays JSON, as it is stored.
struct Account
{
    Text owner;
    long balance;
    long events; // so many were applied
}

/// Is called for every event, in the order of the stream. What it says with failed is why the
/// event fails; then all that the event wrote and emitted is taken back.
bool onEvent(ref const Event event)
{
    const kind = event.header("ce-type");
    const opened = kind == "account.opened", closed = kind == "account.closed";
    const withdrawn = kind == "account.withdrawn";
    if (!opened && !closed && !withdrawn && kind != "account.deposited")
        return true;
    Text name, owner;
    if (!event.text(Name.account, name))
        return false;
    if (opened)
        return event.text(Name.owner, owner) && open(event, name, owner);
    const amount = event.field(Name.amount).integer;
    if (!closed && (amount < 1 || amount > most))
        return failed("amount must be a whole number from 1 to ", most);
    Account account;
    if (!load(name, account))
        return notOpen(name);
    return closed ? close(name, account) : transfer(event, name, account, withdrawn ? -amount : amount);
}

/// load found none, unless it failed.
bool notOpen(Text name)
{
    return !said && failed("account ", name, " is not open");
}

bool open(ref const Event event, Text name, Text owner)
{
    Account account;
    if (load(name, account))
        return failed("account ", name, " is open already");
    owned.clear().quote(owner);
    return !said && store(event, name, Account(owned.text, 0, 1));
}

bool transfer(ref const Event event, Text name, Account account, long change)
{
    const before = account.balance;
    account.balance += change;
    account.events++;
    if (before >= -overdraft && account.balance < -overdraft && !alert(event, name, account))
        return false;
    return store(event, name, account);
}

bool close(Text name, Account account)
{
    if (account.balance != 0)
        return failed("account ", name, " is closed with a balance of ", account.balance);
    output.clear().put("account ", name, " closed after ", account.events + 1, " events");
    hostLog(0, output.ptr, output.length);
    const k = keyOf(name);
    return checked(hostStateDelete(k.ptr, k.length), "state_delete");
}

/// Emits that the account is overdrawn: once, however often this is computed anew.
bool alert(ref const Event event, Text name, Account account)
{
    output.clear().put(alerts, ".overdrawn");
    const subject = output.length;
    char[20] digits;
    output.header("ce-type", "account.overdrawn");
    output.header("account-owner-length", decimal(digits, textLength(account.owner)));
    const headers = output.length;
    output.put(`{"account":`).quote(name).put(`,"balance":`, account.balance, `,"sequence":`, event.sequence, "}");
    const b = output.text;
    return checked(hostEmit(event.index, b.ptr, subject, b.ptr + subject, headers - subject, b.ptr + headers, b.length - headers), "emit");
}

/// Finds an account, and returns whether it is there.
bool load(Text name, out Account account)
{
    Text json;
    if (!get(keyOf(name), json))
        return false;
    account = decode(json);
    return true;
}

/// Reads what store wrote: always the same fields, in the same order.
Account decode(Text json)
{
    auto rest = Reader(json[`{"owner":`.length .. $]);
    const owner = rest.skipString();
    rest.at += `,"balance":`.length;
    const balance = rest.number();
    rest.at += `,"events":`.length;
    return Account(owner, balance, rest.number());
}

bool store(ref const Event event, Text name, Account account)
{
    output.clear().put(`{"owner":`, account.owner, `,"balance":`, account.balance, `,"events":`, account.events, `,"last":`);
    output.quote(event.header("ce-time")).put("}");
    const k = keyOf(name);
    return checked(hostStatePut(k.ptr, k.length, output.ptr, output.length), "state_put");
}

/// Answers a request such as {"top":3}: the accounts with the highest balances.
bool onQuery(Text request)
{
    top = 3;
    auto r = Reader(request);
    const read = request.length == 0 || r.object((ref Reader r, Text name) { return name == "top" && r.wholeNumber(top); });
    if (!read || top < 1 || top > 100)
        return failed("top must be from 1 to 100");
    return scanAll() && answerWith(cast(size_t) top);
}

__gshared long top; // how many accounts are asked for

/// The entries of all accounts, {u32 klen, u32 vlen, key, value}*, in pages, put one after the
/// other into page.
bool scanAll()
{
    page.clear();
    Text after;
    while (true)
    {
        page.reserve(page.length + (64 << 10));
        auto r = hostStateScan(prefix.ptr, prefix.length, after.ptr, after.length, 0, page.ptr + page.length, page.room);
        if (r == -2) // an entry is larger: this holds any
        {
            page.reserve(page.length + (2 << 20));
            r = hostStateScan(prefix.ptr, prefix.length, after.ptr, after.length, 0, page.ptr + page.length, page.room);
        }
        if (r < 0)
            return failed("state_scan gave ", r);
        if (r == 0)
            return true;
        auto rest = page.ptr[page.length .. page.length + cast(uint) r];
        page.length += cast(uint) r;
        for (; rest.length > 0; rest = rest[8 + load!uint(rest) + load!uint(rest[4 .. $]) .. $])
            after = rest[8 .. 8 + load!uint(rest)];
        last.clear().put(after); // page may move
        after = last.text;
    }
}

/// An account as answers show it.
struct Holder
{
    Text name;
    long balance;
}

bool answerWith(size_t top)
{
    Holder[100] best;
    size_t count = 0;
    for (auto rest = page.text; rest.length > 0;)
    {
        const key = rest[8 .. 8 + load!uint(rest)];
        const value = rest[8 + key.length .. 8 + key.length + load!uint(rest[4 .. $])];
        rest = rest[8 + key.length + value.length .. $];
        const holder = Holder(key[prefix.length .. $], decode(value).balance);
        // Keys come in order, so that of equal balances the first stays first.
        size_t i = count;
        for (; i > 0 && best[i - 1].balance < holder.balance; i--)
            if (i < top)
                best[i] = best[i - 1];
        if (i < top)
            best[i] = holder;
        if (count < top)
            count++;
    }
    output.clear().put("[");
    foreach (i; 0 .. count)
        output.put(i == 0 ? `{"account":` : `,{"account":`).quote(best[i].name).put(`,"balance":`, best[i].balance, "}");
    output.put("]");
    return checked(hostOutputWrite(output.ptr, output.length), "output_write");
}

bool readSettings()
{
    if (!fill!hostConfigRead(batch))
        return false;
    auto r = Reader(batch.text);
    const read = r.object((ref Reader r, Text name) {
        if (name == "overdraft")
            return (r.wholeNumber(overdraft) && overdraft >= 0) || failed("settings: overdraft must be a whole number from 0");
        if (name == "alerts")
            return r.text(named_, alerts) || failed("settings: alerts must be a text");
        return failed("settings: ", name, " is unknown: there are overdraft, alerts");
    });
    return read || (!said && failed("settings: not an object"));
}

__gshared Buffer named_; // the text of alerts

// ---- what the host calls ----

extern (C) int init()
{
    return result(start());
}

bool start()
{
    if (!readSettings())
        return false;
    // {u16 length, name}*: the host finds these fields, for a whole batch at once.
    output.clear();
    foreach (name; names)
        output.put16(name.length).put(name);
    return checked(hostFieldsDeclare(output.ptr, output.length), "fields_declare");
}

extern (C) int apply()
{
    return result(eachEvent());
}

bool eachEvent()
{
    if (!fill!hostBatchRead(batch) || !fill!hostFieldsRead(table))
        return false;
    auto rest = batch.text;
    for (current = 0; rest.length > 0; current++)
    {
        const event = Event(rest[0 .. load!uint(rest)], current);
        if (!onEvent(event))
            return false;
        rest = rest[event.record.length .. $];
    }
    return true;
}

extern (C) int query()
{
    return result(fill!hostInputRead(batch) && onQuery(batch.text));
}

/// 0, or 1 after the host was told what went wrong, and with which event.
int result(bool ok)
{
    if (!ok)
        hostFail(current, message.ptr, message.length);
    current = -1;
    said = false;
    return ok ? 0 : 1;
}

// ---- events: "A batch" in docs/ABI.md ----

/// The fields that the host looks for, in the order in which they are declared.
enum Name
{
    account,
    owner,
    amount
}

static immutable string[3] names = ["account", "owner", "amount"];

struct Field
{
    uint kind;
    Text text;
    long integer; // 0 unless it is a whole number
}

struct Event
{
nothrow @nogc:
    Text record;
    int index;

    ulong sequence() const
    {
        return load!ulong(record[8 .. $]);
    }

    /// The value of a header; empty when it is absent.
    Text header(Text name) const
    {
        const subject = load!uint(record[24 .. $]);
        auto rest = record[40 + subject .. 40 + subject + load!uint(record[28 .. $])];
        while (rest.length > 0)
        {
            const n = load!ushort(rest), v = load!ushort(rest[2 .. $]);
            if (equalFold(rest[4 .. 4 + n], name))
                return rest[4 + n .. 4 + n + v];
            rest = rest[4 + n + v .. $];
        }
        return null;
    }

    /// A cell of the table that the host makes: "projection_v1_json" in docs/ABI.md.
    Field field(Name name) const
    {
        const cell = table.text[(index * names.length + name) * 32 .. $];
        const raw = batch.text[load!uint(cell[8 .. $]) .. $][0 .. load!uint(cell[12 .. $])];
        const at = load!uint(cell[16 .. $]);
        auto f = Field(load!uint(cell));
        if (at > 0)
            f.text = table.text[at .. at + load!uint(cell[20 .. $])];
        else if (f.kind == 4)
            f.text = raw[1 .. $ - 1];
        if (load!uint(cell[4 .. $]) & 1)
            f.integer = load!long(cell[24 .. $]);
        return f;
    }

    /// A field that must say something.
    bool text(Name name, out Text found) const
    {
        const f = field(name);
        if (f.kind == 255) // no JSON object: why
            return failed(f.text);
        if (f.kind != 4 || f.text.length == 0)
            return failed(names[name], " must be a text");
        found = f.text;
        return true;
    }
}

// ---- buffers, which grow and are kept ----

alias Text = const(char)[];

__gshared Buffer batch, table, page, last, key, got, output, message;
__gshared Buffer owned; // the JSON of a new owner
__gshared int current = -1; // the event that is handled: its index in the batch
__gshared bool said; // failed was called

struct Buffer
{
nothrow @nogc:
    char* ptr; // 0 is an address, too: an empty buffer may be handed to the host
    size_t length;
    size_t capacity;

    Text text() const
    {
        return ptr[0 .. length];
    }
    size_t room() const
    {
        return capacity - length;
    }

    ref Buffer clear() return
    {
        length = 0;
        return this;
    }

    /// Makes room for so many bytes in all. Memory comes from the end and is not given back; as
    /// the room doubles, that is no more than as much again.
    void reserve(size_t size)
    {
        if (size <= capacity)
            return;
        const pages = ((size > 2 * capacity ? size : 2 * capacity) + pageSize - 1) / pageSize;
        const first = memoryGrow(0, cast(int) pages);
        if (first < 0)
            trap(); // the limit of memory
        auto moved = cast(char*)(first * pageSize);
        moved[0 .. length] = ptr[0 .. length];
        ptr = moved;
        capacity = pages * pageSize;
    }

    /// Appends texts and whole numbers.
    ref Buffer put(Parts...)(Parts parts) return
    {
        foreach (part; parts)
        {
            static if (is(typeof(part) : Text))
                append(part);
            else
            {
                char[20] digits;
                append(decimal(digits, part));
            }
        }
        return this;
    }

    private void append(Text text)
    {
        reserve(length + text.length);
        ptr[length .. length + text.length] = text[];
        length += text.length;
    }

    ref Buffer put16(size_t n) return
    {
        const char[2] bytes = [cast(char)(n & 0xff), cast(char)(n >> 8)];
        append(bytes[]);
        return this;
    }

    /// Appends a header, {u16 nlen, u16 vlen, name, value}.
    void header(Text name, Text value)
    {
        put16(name.length).put16(value.length).put(name, value);
    }

    /// Appends a JSON string, as RFC 8785 writes it.
    ref Buffer quote(Text text) return
    {
        enum hex = "0123456789abcdef";
        put(`"`);
        foreach (c; text)
        {
            char[6] escape = ['\\', 'u', '0', '0', hex[(c >> 4) & 15], hex[c & 15]];
            if (c == '"' || c == '\\')
                escape[1] = c;
            else if (c == 8 || c == 9 || c == 10 || c == 12 || c == 13)
                escape[1] = "btn.fr"[c - 8];
            else if (c >= ' ')
            {
                append((&c)[0 .. 1]);
                continue;
            }
            append(escape[0 .. escape[1] == 'u' ? 6 : 2]);
        }
        return put(`"`);
    }
}

enum pageSize = 64 << 10;

pragma(LDC_intrinsic, "llvm.wasm.memory.grow.i32") int memoryGrow(int memory, int pages);
pragma(LDC_intrinsic, "llvm.trap") void trap();

/// Reads until the buffer is large enough for all that there is.
bool fill(alias read)(ref Buffer buf)
{
    while (true)
    {
        const n = read(buf.ptr, buf.capacity);
        if (n < 0)
            return failed("a read gave ", n);
        buf.length = 0;
        if (n <= buf.capacity)
        {
            buf.length = n;
            return true;
        }
        buf.reserve(n);
    }
}

/// Reads a value, and returns whether there is one.
bool get(Text key, out Text value)
{
    while (true)
    {
        const n = hostStateGet(key.ptr, key.length, got.ptr, got.capacity);
        if (n == -1) // not found
            return false;
        if (n < 0)
            return failed("state_get gave ", n);
        if (n <= got.capacity)
        {
            value = got.ptr[0 .. n];
            return true;
        }
        got.reserve(n);
    }
}

Text keyOf(Text name)
{
    return key.clear().put(prefix, name).text;
}

bool checked(int code, Text what)
{
    return code >= 0 || failed(what, " gave ", code);
}

/// Says what went wrong. It returns false.
bool failed(Parts...)(Parts parts)
{
    message.clear().put(parts);
    said = true;
    return false;
}

// ---- bytes and JSON ----

// may be unaligned: WebAssembly allows it
T load(T)(Text bytes)
{
    return *cast(const T*) bytes.ptr;
}

/// What the compiler calls for ==; there is no C library to have it from.
extern (C) int memcmp(const(ubyte)* a, const(ubyte)* b, size_t n)
{
    foreach (i; 0 .. n)
        if (a[i] != b[i])
            return a[i] - b[i];
    return 0;
}

bool equalFold(Text a, Text b)
{
    static char lower(char c)
    {
        return c >= 'A' && c <= 'Z' ? cast(char)(c + 32) : c;
    }
    if (a.length != b.length)
        return false;
    foreach (i; 0 .. a.length)
        if (lower(a[i]) != lower(b[i]))
            return false;
    return true;
}

Text decimal(return ref char[20] digits, long n)
{
    size_t at = digits.length;
    auto rest = n < 0 ? -cast(ulong) n : cast(ulong) n;
    do
        digits[--at] = cast(char)('0' + rest % 10);
    while (rest /= 10);
    if (n < 0)
        digits[--at] = '-';
    return digits[at .. $];
}

/// How many bytes a string that quote wrote says.
size_t textLength(Text json)
{
    size_t n;
    for (size_t i = 1; i < json.length - 1; n++)
        i += json[i] != '\\' ? 1 : json[i + 1] != 'u' ? 2 : 6;
    return n;
}

/// Reads the JSON that settings and requests are: an object of whole numbers and texts.
struct Reader
{
nothrow @nogc:
    Text json;
    size_t at;

    private char peek()
    {
        while (at < json.length && (json[at] == ' ' || (json[at] >= 9 && json[at] <= 13)))
            at++;
        return at < json.length ? json[at] : 0;
    }

    private bool take(char c)
    {
        if (peek() != c)
            return false;
        at++;
        return true;
    }

    /// Takes all that there is, an object. field takes the value of a field.
    bool object(bool function(ref Reader, Text name) nothrow @nogc field)
    {
        if (!take('{'))
            return false;
        if (!take('}'))
        {
            do
            {
                if (peek() != '"')
                    return false;
                const name = skipString();
                if (name.length < 2 || !take(':') || !field(this, name[1 .. $ - 1]))
                    return false;
            }
            while (take(','));
            if (!take('}'))
                return false;
        }
        return peek() == 0 && at == json.length;
    }

    /// Takes a string, and returns it as it stands, with its quotes; empty when it does not end.
    Text skipString()
    {
        const start = at++;
        while (at < json.length && json[at] != '"')
            at += json[at] == '\\' ? 2 : 1;
        return at < json.length ? json[start .. ++at] : null;
    }

    /// Takes digits.
    long number()
    {
        const negative = json[at] == '-';
        long n;
        for (at += negative; at < json.length && json[at] >= '0' && json[at] <= '9'; at++)
            n = n * 10 + (json[at] - '0');
        return negative ? -n : n;
    }

    /// Takes a whole number of at most 18 digits.
    bool wholeNumber(ref long n)
    {
        const c = peek();
        if (c != '-' && (c < '0' || c > '9'))
            return false;
        const start = at;
        n = number();
        const digits = at - start - (c == '-');
        const next = at < json.length ? json[at] : 0;
        const leads = digits > 1 && json[start + (c == '-')] == '0';
        return digits >= 1 && digits <= 18 && !leads && next != '.' && next != 'e' && next != 'E';
    }

    /// Takes a string of ASCII escapes only, unescaped into a buffer.
    bool text(ref Buffer into, ref Text found)
    {
        if (peek() != '"')
            return false;
        const raw = skipString();
        into.clear();
        for (size_t i = 1; i + 1 < raw.length; i++)
        {
            char c = raw[i];
            if (c == '\\')
            {
                c = raw[++i];
                foreach (k, e; "btnfr")
                    if (c == e)
                        c = "\b\t\n\f\r"[k];
                if (raw[i] == 'u')
                {
                    uint code;
                    foreach (h; raw[i + 1 .. i + 5])
                        code = code << 4 | (h <= '9' ? h - '0' : (h | 32) - 'a' + 10);
                    if (code > 127)
                        return false;
                    c = cast(char) code;
                    i += 4;
                }
            }
            into.append((&c)[0 .. 1]);
        }
        found = into.text;
        return raw.length >= 2;
    }
}
