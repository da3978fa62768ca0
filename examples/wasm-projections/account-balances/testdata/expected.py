#!/usr/bin/env python3
"""Writes events.jsonl and what account-balances must make of it, expected.json.

It shares no code with any of the projections: it says in another language what
../README.md says in English.  Run it after a change:  python3 expected.py
"""
import json
import random

OVERDRAFT = 500  # settings.json
ALERTS = "alerts.account"  # the default
MOST = 999_999_999_999_999


def text(value):
    """A JSON string as RFC 8785 has it, which Python's writer agrees with but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\\u007f", "\x7f")


# --- events -------------------------------------------------------------------

OWNERS = [
    "Ada Lovelace", 'Grace "Amazing" Hopper', "Zoë Müller-Lüdenscheidt", "back\\slash / slash",
    "tab\tnew\nline\rback\bfeed\f", "control \x01 \x1f \x7f", "emoji 😀 and 𝄞", "line\u2028and\u2029paragraph",
    "<b>&amp;</b>", "名前", "", "x" * 3000,
]
ACCOUNTS = ["a-%d" % n for n in range(1, 9)] + ["Zürich", 'quo"te', "back\\slash", "tab\there", "😀", "a", "a-", "~"]


def log(rng):
    """Yields (type, data as JSON text)."""
    raw = lambda **fields: json.dumps(fields, ensure_ascii=rng.random() < 0.5, separators=rng.choice([(",", ":"), (", ", ": ")]))
    for n, account in enumerate(ACCOUNTS):
        owner = OWNERS[n % len(OWNERS)] or "nobody"
        yield "account.opened", raw(account=account, owner=owner)
    for _ in range(220):
        account = rng.choice(ACCOUNTS)
        amount = rng.choice([1, 7, 99, 250, 1000, rng.randrange(1, 2000)])
        yield rng.choice(["account.deposited", "account.withdrawn"]), raw(account=account, amount=amount)
    # What must fail, each between events that must not be touched by it.
    for kind, data in [
        ("account.opened", '{"account":"a-1","owner":"again"}'),
        ("account.deposited", '{"account":"nobody","amount":5}'),
        ("account.withdrawn", '{"amount":5}'),
        ("account.withdrawn", '{"account":17,"amount":5}'),
        ("account.withdrawn", '{"account":"","amount":5}'),
        ("account.opened", '{"account":"new"}'),
        ("account.opened", '{"account":"new","owner":""}'),
        ("account.opened", '{"account":"new","owner":null}'),
        ("account.deposited", '{"account":"a-1"}'),
        ("account.deposited", '{"account":"a-1","amount":"5"}'),
        ("account.deposited", '{"account":"a-1","amount":0}'),
        ("account.deposited", '{"account":"a-1","amount":-5}'),
        ("account.deposited", '{"account":"a-1","amount":12.5}'),
        ("account.deposited", '{"account":"a-1","amount":1000000000000000}'),
        ("account.deposited", '{"account":"a-1","amount":null}'),
        ("account.deposited", '{"account":"nobody","amount":0}'),
        ("account.closed", '{"account":"nobody"}'),
        ("account.closed", '{"account":"a-2"}'),
    ]:
        yield kind, data
        yield "account.deposited", raw(account="a-3", amount=3)
    # What must be read right.
    yield "account.deposited", '{"account":"a-4","amount":999999999999999}'
    yield "account.deposited", '\n {"amount" : 1 , "nested":{"account":"a-1","amount":[1,2,{"account":"x"}]} , "account":"a-4", "amount":\t250 } '
    yield "account.deposited", '{"acc\\u006funt":"\\u0061-5","amount":11}'
    yield "account.deposited", '{"account":"\\ud83d\\ude00","amount":12}'
    yield "account.renamed", '{"account":"a-4","owner":"of no concern"}'
    yield "bank.opened", "null"
    # Closed, and opened again by another.
    yield "account.opened", '{"account":"short","owner":"Eve"}'
    yield "account.deposited", '{"account":"short","amount":40}'
    yield "account.withdrawn", '{"account":"short","amount":40}'
    yield "account.closed", '{"account":"short"}'
    yield "account.deposited", '{"account":"short","amount":1}'
    yield "account.opened", '{"account":"short","owner":"Mallory"}'
    yield "account.opened", '{"account":"Zürich 2","owner":"Max"}'
    yield "account.closed", '{"account":"Zürich 2"}'
    # Over the limit, back, and over it again.
    for amount in (500, 1, 1, 600):
        yield "account.withdrawn", '{"account":"short","amount":%d}' % amount
    yield "account.deposited", '{"account":"short","amount":700}'
    yield "account.withdrawn", '{"account":"short","amount":98}'
    yield "account.withdrawn", '{"account":"short","amount":1}'


# --- the projection -----------------------------------------------------------

class Failed(Exception):
    pass


state, emits, errors, logs = {}, [], [], []


def field(data, name):
    value = data.get(name)
    if not isinstance(value, str) or value == "":
        raise Failed(name + " must be a text")
    return value


def apply(sequence, kind, time, body):
    if kind not in ("account.opened", "account.deposited", "account.withdrawn", "account.closed"):
        return
    data = json.loads(body)
    account = field(data, "account")
    key = "account\t" + account
    if kind == "account.opened":
        owner = field(data, "owner")
        if key in state:
            raise Failed("account %s is open already" % account)
        state[key] = dict(owner=owner, balance=0, events=1, last=time)
        return
    amount = 0
    if kind != "account.closed":
        amount = data.get("amount")
        if type(amount) is not int or not 1 <= amount <= MOST:
            raise Failed("amount must be a whole number from 1 to %d" % MOST)
    if key not in state:
        raise Failed("account %s is not open" % account)
    a = state[key]
    if kind == "account.closed":
        if a["balance"] != 0:
            raise Failed("account %s is closed with a balance of %d" % (account, a["balance"]))
        del state[key]
        logs.append("info: account %s closed after %d events" % (account, a["events"] + 1))
        return
    before = a["balance"]
    a["balance"] += amount if kind == "account.deposited" else -amount
    a["events"] += 1
    a["last"] = time
    if before >= -OVERDRAFT > a["balance"]:
        emits.append((sequence, account, a["balance"], len(a["owner"].encode())))


def rows():
    for key in sorted(state, key=lambda k: k.encode()):
        a = state[key]
        yield key, '{"owner":%s,"balance":%d,"events":%d,"last":%s}' % (text(a["owner"]), a["balance"], a["events"], text(a["last"]))


def answer(top):
    accounts = [(k.split("\t", 1)[1], a["balance"]) for k, a in state.items()]
    accounts.sort(key=lambda a: (-a[1], a[0].encode()))
    return "[" + ",".join('{"account":%s,"balance":%d}' % (text(k), b) for k, b in accounts[:top]) + "]"


def main():
    with open("events.jsonl", "w", encoding="utf-8") as out:
        for n, (kind, data) in enumerate(log(random.Random(17)), 1):
            minute, zone = divmod(n, 60), ["Z", "+01:00", ".25Z"][n % 3]
            time = "2026-03-01T%02d:%02d:00%s" % (8 + minute[0], minute[1], zone)
            out.write('{"subject":"bank.accounts","id":"e-%d","type":"%s","time":"%s","data":%s}\n'
                      % (n, kind, time, data.replace("\n", " ")))
            try:
                apply(n, kind, time, data)
            except Failed as e:
                errors.append((n, str(e)))
    section = lambda begin, entries, end: begin + "\n" + ",\n".join("  " + e for e in entries) + "\n " + end
    with open("expected.json", "w", encoding="utf-8") as out:
        out.write("{\n" + ",\n".join([
            section(' "state":{', ["%s:%s" % (text(k), v) for k, v in rows()], "}"),
            section(' "emits":[', [
                '{"event":%d,"subject":"%s.overdrawn","headers":[["ce-type","account.overdrawn"],["account-owner-length","%d"]],'
                '"data":{"account":%s,"balance":%d,"sequence":%d}}' % (s, ALERTS, owner, text(a), b, s) for s, a, b, owner in emits], "]"),
            section(' "errors":[', ['{"event":%d,"error":%s}' % (s, text(e)) for s, e in errors], "]"),
            section(' "logs":[', [text(line) for line in logs], "]"),
            section(' "queries":[', [
                '{"request":"","answer":%s}' % answer(3),
                '{"request":{"top":1},"answer":%s}' % answer(1),
                '{"request":{"top":100},"answer":%s}' % answer(100),
                '{"request":{"top":0},"error":"top must be from 1 to 100"}',
                '{"request":{"top":101},"error":"top must be from 1 to 100"}'], "]"),
        ]) + "\n}\n")


if __name__ == "__main__":
    main()
