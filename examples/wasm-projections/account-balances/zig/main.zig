//! A projection that keeps the balance of every account, emits an event when one is overdrawn,
//! and answers which accounts have the most: against the bare contract, docs/ABI.md of Gnomon.

const std = @import("std");

// What the host offers: "What a guest imports" in docs/ABI.md. Buffers are the guest's own.
const host = struct {
    extern "projection_v1" fn batch_read(buf: [*]u8, cap: usize) i32;
    extern "projection_v1" fn state_get(key: [*]const u8, klen: usize, buf: [*]u8, cap: usize) i32;
    extern "projection_v1" fn state_put(key: [*]const u8, klen: usize, value: [*]const u8, vlen: usize) i32;
    extern "projection_v1" fn state_delete(key: [*]const u8, klen: usize) i32;
    extern "projection_v1" fn state_scan(prefix: [*]const u8, plen: usize, after: [*]const u8, alen: usize, limit: u32, buf: [*]u8, cap: usize) i64;
    extern "projection_v1" fn emit(event: u32, subject: [*]const u8, slen: usize, headers: [*]const u8, hlen: usize, data: [*]const u8, dlen: usize) i32;
    extern "projection_v1" fn config_read(buf: [*]u8, cap: usize) i32;
    extern "projection_v1" fn log(level: i32, text: [*]const u8, len: usize) void;
    extern "projection_v1" fn fail(event: i32, text: [*]const u8, len: usize) void;
    extern "projection_v1" fn input_read(buf: [*]u8, cap: usize) i32;
    extern "projection_v1" fn output_write(bytes: [*]const u8, len: usize) i32;
    extern "projection_v1_json" fn fields_declare(names: [*]const u8, len: usize) i32;
    extern "projection_v1_json" fn fields_read(buf: [*]u8, cap: usize) i32;
};

// ---- the projection ----

var overdraft: i64 = 0; // how far below zero an account may be
var alerts: []const u8 = "alerts.account"; // first part of the subject of what is emitted

const prefix = "account\t"; // begins the keys of accounts; the account's name follows
const most = 999_999_999_999_999;

/// The value of a key. The owner stays JSON, as it is stored.
const Account = struct {
    owner: []const u8,
    balance: i64,
    events: i64, // so many were applied
};

/// Is called for every event, in the order of the stream. An error takes back all that the
/// event wrote and emitted.
fn onEvent(event: *const Event) !void {
    const kind = event.header("ce-type");
    if (eql(kind, "account.opened")) {
        const name = try text(event, .account);
        return open(event, name, try text(event, .owner));
    }
    if (eql(kind, "account.deposited")) {
        const name = try text(event, .account);
        return transfer(event, name, try amount(event));
    }
    if (eql(kind, "account.withdrawn")) {
        const name = try text(event, .account);
        return transfer(event, name, -try amount(event));
    }
    if (eql(kind, "account.closed")) return close(try text(event, .account));
}

fn open(event: *const Event, name: []const u8, owner: []const u8) !void {
    if (try load(name) != null) return failed("account {s} is open already", .{name});
    owned.clearRetainingCapacity();
    try quote(&owned, owner);
    return store(event, name, .{ .owner = owned.items, .balance = 0, .events = 1 });
}

fn transfer(event: *const Event, name: []const u8, change: i64) !void {
    var account = try load(name) orelse return failed("account {s} is not open", .{name});
    const before = account.balance;
    account.balance += change;
    account.events += 1;
    if (before >= -overdraft and account.balance < -overdraft) try alert(event, name, account);
    return store(event, name, account);
}

fn close(name: []const u8) !void {
    const account = try load(name) orelse return failed("account {s} is not open", .{name});
    if (account.balance != 0) return failed("account {s} is closed with a balance of {d}", .{ name, account.balance });
    out.clearRetainingCapacity();
    try out.writer().print("account {s} closed after {d} events", .{ name, account.events + 1 });
    host.log(0, out.items.ptr, out.items.len);
    const k = try keyOf(name);
    try check(host.state_delete(k.ptr, k.len), "state_delete");
}

/// Emits that the account is overdrawn: once, however often this is computed anew.
fn alert(event: *const Event, name: []const u8, account: Account) !void {
    out.clearRetainingCapacity();
    const w = out.writer();
    try w.print("{s}.overdrawn", .{alerts});
    const subject = out.items.len;
    var length: [20]u8 = undefined;
    try header("ce-type", "account.overdrawn");
    try header("account-owner-length", try std.fmt.bufPrint(&length, "{d}", .{textLength(account.owner)}));
    const headers = out.items.len;
    try w.writeAll("{\"account\":");
    try quote(&out, name);
    try w.print(",\"balance\":{d},\"sequence\":{d}}}", .{ account.balance, event.sequence });
    const b = out.items;
    try check(host.emit(event.index, b.ptr, subject, b.ptr + subject, headers - subject, b.ptr + headers, b.len - headers), "emit");
}

/// A field that must say something.
fn text(event: *const Event, comptime name: Name) ![]const u8 {
    const field = event.field(name);
    if (field.kind == 255) return failed("{s}", .{field.text}); // no JSON object: why
    if (field.kind != 4 or field.text.len == 0) return failed("{s} must be a text", .{@tagName(name)});
    return field.text;
}

fn amount(event: *const Event) !i64 {
    const n = event.field(.amount).int;
    if (n < 1 or n > most) return failed("amount must be a whole number from 1 to {d}", .{most});
    return n;
}

fn load(name: []const u8) !?Account {
    return try decode(try get(try keyOf(name)) orelse return null);
}

/// Reads what store wrote: always the same fields, in the same order.
fn decode(json: []const u8) !Account {
    var rest = json["{\"owner\":".len..];
    const owner = rest[0..stringEnd(rest)];
    rest = rest[owner.len + ",\"balance\":".len ..];
    const balance = rest[0..numberEnd(rest)];
    rest = rest[balance.len + ",\"events\":".len ..];
    const events = rest[0..numberEnd(rest)];
    return .{
        .owner = owner,
        .balance = try std.fmt.parseInt(i64, balance, 10),
        .events = try std.fmt.parseInt(i64, events, 10),
    };
}

fn store(event: *const Event, name: []const u8, account: Account) !void {
    out.clearRetainingCapacity();
    try out.writer().print("{{\"owner\":{s},\"balance\":{d},\"events\":{d},\"last\":", .{ account.owner, account.balance, account.events });
    try quote(&out, event.header("ce-time"));
    try out.append('}');
    const k = try keyOf(name);
    try check(host.state_put(k.ptr, k.len, out.items.ptr, out.items.len), "state_put");
}

/// An account as answers show it.
const Holder = struct { name: []const u8, balance: i64 };

fn more(_: void, a: Holder, b: Holder) bool {
    return a.balance > b.balance or (a.balance == b.balance and std.mem.lessThan(u8, a.name, b.name));
}

/// Answers a request such as {"top":3}: the accounts with the highest balances.
fn onQuery(request: []const u8) !void {
    const top = try topOf(request);
    var arena = std.heap.ArenaAllocator.init(allocator);
    defer arena.deinit();
    var holders = std.ArrayList(Holder).init(arena.allocator());
    var after: []const u8 = "";
    while (try scan(after)) |entries| {
        var rest = entries;
        while (rest.len > 0) {
            const klen = load32(rest, 0);
            const vlen = load32(rest, 4);
            after = try arena.allocator().dupe(u8, rest[8..][0..klen]);
            const value = rest[8 + klen ..][0..vlen];
            try holders.append(.{ .name = after[prefix.len..], .balance = (try decode(value)).balance });
            rest = rest[8 + klen + vlen ..];
        }
    }
    std.sort.pdq(Holder, holders.items, {}, more);
    out.clearRetainingCapacity();
    for (holders.items[0..@min(top, holders.items.len)], 0..) |holder, i| {
        try out.writer().writeAll(if (i == 0) "[{\"account\":" else ",{\"account\":");
        try quote(&out, holder.name);
        try out.writer().print(",\"balance\":{d}}}", .{holder.balance});
    }
    try out.writer().writeAll(if (holders.items.len == 0) "[]" else "]");
    try check(host.output_write(out.items.ptr, out.items.len), "output_write");
}

fn topOf(request: []const u8) !usize {
    if (request.len == 0) return 3;
    const refused = failed("top must be from 1 to 100", .{});
    const parsed = std.json.parseFromSlice(std.json.Value, allocator, request, .{}) catch return refused;
    defer parsed.deinit();
    if (parsed.value != .object) return refused;
    const object = parsed.value.object;
    const top = object.get("top") orelse return if (object.count() == 0) 3 else refused;
    if (object.count() != 1 or top != .integer or top.integer < 1 or top.integer > 100) return refused;
    return @intCast(top.integer);
}

fn readSettings() !void {
    const json = try fill(&batch, host.config_read);
    const parsed = try std.json.parseFromSlice(std.json.Value, allocator, json, .{}); // is kept: alerts is in it
    var settings = parsed.value.object.iterator();
    while (settings.next()) |setting| {
        const name = setting.key_ptr.*;
        const value = setting.value_ptr.*;
        if (eql(name, "overdraft")) {
            if (value != .integer or value.integer < 0) return failed("settings: overdraft must be a whole number from 0", .{});
            overdraft = value.integer;
        } else if (eql(name, "alerts")) {
            if (value != .string) return failed("settings: alerts must be a text", .{});
            alerts = value.string;
        } else {
            return failed("settings: {s} is unknown: there are overdraft, alerts", .{name});
        }
    }
}

// ---- what the host calls ----

export fn init() i32 {
    return result(start());
}

fn start() !void {
    // A buffer without memory has no address, and the host refuses one outside the memory.
    for ([_]*Bytes{ &batch, &table, &got }) |b| try b.ensureTotalCapacity(4 << 10);
    try readSettings();
    // {u16 length, name}*: the host finds these fields, for a whole batch at once.
    var names = Bytes.init(allocator);
    defer names.deinit();
    for (std.enums.values(Name)) |name| {
        try names.writer().writeIntLittle(u16, @intCast(@tagName(name).len));
        try names.appendSlice(@tagName(name));
    }
    try check(host.fields_declare(names.items.ptr, names.items.len), "fields_declare");
}

export fn apply() i32 {
    return result(eachEvent());
}

fn eachEvent() !void {
    var rest: []const u8 = try fill(&batch, host.batch_read);
    table.items = try fill(&table, host.fields_read);
    var index: u32 = 0;
    while (rest.len > 0) : (index += 1) {
        current = @intCast(index);
        try onEvent(&Event.first(rest, index));
        rest = rest[load32(rest, 0)..];
    }
}

export fn query() i32 {
    return result(answer());
}

fn answer() !void {
    try onQuery(try fill(&batch, host.input_read));
}

/// 0, or 1 after the host was told what went wrong, and with which event.
fn result(outcome: anyerror!void) i32 {
    defer current = -1;
    outcome catch |e| {
        const said = if (e == error.Failed) message.items else @errorName(e);
        host.fail(current, said.ptr, said.len);
        return 1;
    };
    return 0;
}

// ---- events: "A batch" in docs/ABI.md ----

/// The fields that the host looks for, in the order in which they are declared.
const Name = enum { account, owner, amount };

const Field = struct { kind: u32, text: []const u8 = "", int: i64 = 0 };

const Event = struct {
    sequence: u64,
    index: u32,
    record: []const u8,

    fn first(bytes: []const u8, index: u32) Event {
        return .{ .sequence = load64(bytes, 8), .index = index, .record = bytes };
    }

    /// The value of a header; empty when it is absent.
    fn header(event: *const Event, name: []const u8) []const u8 {
        var rest = event.record[40 + load32(event.record, 24) ..][0..load32(event.record, 28)];
        while (rest.len > 0) {
            const nlen = std.mem.readIntLittle(u16, rest[0..2]);
            const vlen = std.mem.readIntLittle(u16, rest[2..4]);
            if (std.ascii.eqlIgnoreCase(rest[4..][0..nlen], name)) return rest[4 + nlen ..][0..vlen];
            rest = rest[4 + nlen + vlen ..];
        }
        return "";
    }

    /// A cell of the table that the host makes: "projection_v1_json" in docs/ABI.md.
    fn field(event: *const Event, comptime name: Name) Field {
        const columns = std.enums.values(Name).len;
        const cell = table.items[(event.index * columns + @intFromEnum(name)) * 32 ..][0..32];
        const raw = batch.items[load32(cell, 8)..][0..load32(cell, 12)];
        const at = load32(cell, 16);
        var f = Field{ .kind = load32(cell, 0) };
        if (at > 0) {
            f.text = table.items[at..][0..load32(cell, 20)];
        } else if (f.kind == 4) {
            f.text = raw[1 .. raw.len - 1];
        }
        if (load32(cell, 4) & 1 == 1) f.int = @bitCast(load64(cell, 24));
        return f;
    }
};

// ---- buffers, which grow and are kept ----

const allocator = std.heap.wasm_allocator;
const Bytes = std.ArrayList(u8);

var batch = Bytes.init(allocator);
var table = Bytes.init(allocator);
var got = Bytes.init(allocator); // of state_get
var page = Bytes.init(allocator); // of state_scan
var key = Bytes.init(allocator);
var owned = Bytes.init(allocator); // the JSON of a new owner
var out = Bytes.init(allocator); // what is written, emitted, logged or answered
var message = Bytes.init(allocator);
var current: i32 = -1; // the event that is handled: its index in the batch

/// Reads until the buffer is large enough for all that there is.
fn fill(buf: *Bytes, comptime read: anytype) ![]u8 {
    while (true) {
        const n = read(buf.items.ptr, buf.capacity);
        try check(n, "a read");
        if (n <= buf.capacity) {
            buf.items.len = @intCast(n);
            return buf.items;
        }
        try buf.ensureTotalCapacity(@intCast(n));
    }
}

fn get(k: []const u8) !?[]const u8 {
    while (true) {
        const n = host.state_get(k.ptr, k.len, got.items.ptr, got.capacity);
        if (n == -1) return null; // not found
        try check(n, "state_get");
        if (n <= got.capacity) return got.items.ptr[0..@intCast(n)];
        try got.ensureTotalCapacity(@intCast(n));
    }
}

/// The next entries of accounts, {u32 klen, u32 vlen, key, value}*, as many as fit.
fn scan(after: []const u8) !?[]const u8 {
    try page.ensureTotalCapacity(64 << 10);
    while (true) {
        const r = host.state_scan(prefix, prefix.len, after.ptr, after.len, 0, page.items.ptr, page.capacity);
        if (r == 0) return null;
        if (r > 0) return page.items.ptr[0..@intCast(r & 0xffff_ffff)];
        if (r != -2 or page.capacity > 2 << 20) return failed("state_scan gave {d}", .{r});
        try page.ensureTotalCapacity(2 << 20); // an entry is larger: this holds any
    }
}

fn keyOf(name: []const u8) ![]const u8 {
    key.clearRetainingCapacity();
    try key.appendSlice(prefix);
    try key.appendSlice(name);
    return key.items;
}

/// Appends a header, {u16 nlen, u16 vlen, name, value}, to out.
fn header(name: []const u8, v: []const u8) !void {
    try out.writer().writeIntLittle(u16, @intCast(name.len));
    try out.writer().writeIntLittle(u16, @intCast(v.len));
    try out.appendSlice(name);
    try out.appendSlice(v);
}

fn check(code: i32, what: []const u8) !void {
    if (code < 0) return failed("{s} gave {d}", .{ what, code });
}

fn failed(comptime format: []const u8, args: anytype) anyerror {
    message.clearRetainingCapacity();
    message.writer().print(format, args) catch |e| return e;
    return error.Failed;
}

// ---- bytes and JSON ----

fn eql(a: []const u8, b: []const u8) bool {
    return std.mem.eql(u8, a, b);
}

fn load32(b: []const u8, at: usize) u32 {
    return std.mem.readIntLittle(u32, b[at..][0..4]);
}

fn load64(b: []const u8, at: usize) u64 {
    return std.mem.readIntLittle(u64, b[at..][0..8]);
}

/// Appends a JSON string, as RFC 8785 writes it.
fn quote(to: *Bytes, s: []const u8) !void {
    const w = to.writer();
    try w.writeByte('"');
    for (s) |c| switch (c) {
        '"', '\\' => try w.writeAll(&.{ '\\', c }),
        8 => try w.writeAll("\\b"),
        '\t' => try w.writeAll("\\t"),
        '\n' => try w.writeAll("\\n"),
        12 => try w.writeAll("\\f"),
        '\r' => try w.writeAll("\\r"),
        0...7, 11, 14...31 => try w.print("\\u{x:0>4}", .{c}),
        else => try w.writeByte(c),
    };
    try w.writeByte('"');
}

/// The length of the JSON string that json begins with.
fn stringEnd(json: []const u8) usize {
    var i: usize = 1;
    while (json[i] != '"') : (i += 1) {
        if (json[i] == '\\') i += 1;
    }
    return i + 1;
}

/// How many bytes a string that quote wrote says.
fn textLength(json: []const u8) usize {
    var n: usize = 0;
    var i: usize = 1;
    while (i < json.len - 1) : (n += 1) {
        i += if (json[i] != '\\') @as(usize, 1) else if (json[i + 1] != 'u') 2 else 6;
    }
    return n;
}

/// The length of the whole number that json begins with.
fn numberEnd(json: []const u8) usize {
    var i: usize = 0;
    while (json[i] == '-' or std.ascii.isDigit(json[i])) i += 1;
    return i;
}
