//! The exerciser in Rust: sdk/same_test.go says what it does.

use gnomon::{fail, json, json_struct, log, Error, Event, Kind, Migrate, Projection, Query, Reader, State};
use std::str;

json_struct! {
    struct Settings {
        name: String = "none",
        n: i64 = 7,
        flag: bool = false,
    }
}

struct Exerciser(Settings);

gnomon::projection!(Exerciser: Query + Migrate);

impl Projection for Exerciser {
    type Settings = Settings;

    fn new(settings: Settings) -> Result<Self, Error> {
        Ok(Exerciser(settings))
    }

    fn on_event(&mut self, event: &Event, state: &mut State) -> Result<(), Error> {
        match event.kind()? {
            "json" => fields(event, state),
            "settings" => state.put("settings", format!("{}|{}|{}", self.0.name, self.0.n, self.0.flag)),
            _ => operations(event, state),
        }
    }
}

/// Does what the event's data says: {u8 operation, u32 length of a, u32 length of b, a, b}*.
fn operations(event: &Event, state: &mut State) -> Result<(), Error> {
    let mut trace = Vec::new();
    let mut rest = event.data();
    while let [op, tail @ ..] = rest {
        let (la, tail) = tail.split_at(4);
        let (lb, tail) = tail.split_at(4);
        let size = |b: &[u8]| b.iter().rev().fold(0, |n, &c| n << 8 | usize::from(c));
        let (a, tail) = tail.split_at(size(la));
        let (b, tail) = tail.split_at(size(lb));
        operation(event, state, *op, a, b, &mut trace)?;
        rest = tail;
    }
    state.put(format!("trace\t{}", event.sequence()), trace)
}

fn operation(event: &Event, state: &mut State, op: u8, a: &[u8], b: &[u8], trace: &mut Vec<u8>) -> Result<(), Error> {
    match op {
        b'p' => return state.put(a, b),
        b'd' => return state.delete(a),
        b'c' => {
            let value = match state.get(a)? {
                Some(value) => value.to_vec(),
                None => return state.delete(b),
            };
            trace.extend(format!("{};", value.len()).bytes());
            return state.put(b, value);
        }
        b's' | b'S' => scan(state, op == b'S', a, b, trace)?,
        b'e' => {
            let subject = str::from_utf8(a)?;
            let names: Vec<String> = (1..b.len()).map(|i| format!("h{}", i % 5)).collect();
            let headers: Vec<(&str, &str)> =
                names.iter().zip(&b[1.min(b.len())..]).map(|(n, c)| (n.as_str(), if c % 2 == 1 { subject } else { "" })).collect();
            return state.emit(subject, b, &headers);
        }
        b'l' => {
            let levels = [log::Level::Debug, log::Level::Info, log::Level::Warn, log::Level::Error];
            log::line(levels[usize::from(b[0])], str::from_utf8(a)?);
        }
        b'h' => trace.extend([event.header(str::from_utf8(a)?)?.as_bytes(), b";"].concat()),
        b't' => trace.extend([event.token(usize::from(b[0]))?.as_bytes(), b";"].concat()),
        b'q' => json::quote(trace, str::from_utf8(a)?),
        b'v' => trace.extend([event.subject()?.as_bytes(), b";", event.key(), b";", event.id()?.as_bytes()].concat()),
        b'x' => fault(a),
        _ => fail!("{}", str::from_utf8(a)?),
    }
    Ok(())
}

/// Ends the call by a panic, or by having no more memory or stack.
fn fault(kind: &[u8]) {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    while kind == b"memory" {
        hoard.push(vec![1; 1 << 20]);
    }
    if kind == b"stack" {
        log::info(deep(&[1; 1000]).to_string());
    }
    panic!("it is {}", "odd");
}

fn deep(from: &[u8; 1000]) -> u64 {
    let mut frame = *from;
    frame[from.len() / 2] += 1;
    if from[0] == 0 {
        return 0;
    }
    deep(&frame) + u64::from(frame[7])
}

fn hash(h: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(h, |h, &c| (h ^ u32::from(c)).wrapping_mul(16777619))
}

/// Reads other keys after each page of fifty: the borrow checker sees to it that they are not read meanwhile.
fn scan(state: &mut State, stop: bool, prefix: &[u8], after: &[u8], trace: &mut Vec<u8>) -> Result<(), Error> {
    let (mut count, mut inner, mut size, mut h) = (0u32, 0u32, 0u32, 2166136261u32);
    let mut keys: Vec<Vec<u8>> = Vec::new();
    state.scan(prefix, after, |key, value| {
        if count % 50 == 0 {
            keys.push(key.to_vec());
        }
        count += 1;
        size += value.len() as u32;
        h = hash(hash(h, key), &value[..value.len().min(1000)]);
        Ok(!stop || count < 3)
    })?;
    for key in keys {
        inner += state.get(&key)?.map_or(0, <[u8]>::len) as u32;
        state.scan(&key, "", |_, _| {
            inner += 1;
            Ok(true)
        })?;
    }
    trace.extend(format!("{count};{inner};{size};{h};").bytes());
    Ok(())
}

/// A value that is a text, a whole number, or something else.
enum Any {
    Text(String),
    Int(i64),
    Else,
}

impl json::FromJson for Any {
    fn read(parser: &mut json::Parser<'_>) -> Result<Self, Error> {
        let raw = parser.skip()?;
        if raw[0] == b'"' {
            return json::decode(raw).map(Any::Text);
        }
        Ok(json::decode(raw).map_or(Any::Else, Any::Int))
    }

    fn absent() -> Option<Self> {
        Some(Any::Else)
    }
}

json_struct! {
    struct Own {
        s: Any,
        n: Any,
        ..
    }
}

/// Reads the data's fields as the host found them, and itself.
fn fields(event: &Event, state: &mut State) -> Result<(), Error> {
    let at = event.sequence();
    for name in ["s", "n", "é\n", "absent"] {
        let f = event.field(name)?;
        let value = match (f.kind(), f.as_int()) {
            (Kind::String, _) => Any::Text(f.as_str().unwrap_or_default().to_owned()),
            (_, Some(n)) => Any::Int(n),
            _ => Any::Else,
        };
        keep(state, &format!("{at}\tfield\t{name}"), value)?;
    }
    let own: Own = event.json()?;
    keep(state, &format!("{at}\town\ts"), own.s)?;
    keep(state, &format!("{at}\town\tn"), own.n)
}

fn keep(state: &mut State, key: &str, value: Any) -> Result<(), Error> {
    match value {
        Any::Int(n) if n.abs() <= 1 << 53 => state.put(key, n.to_string()),
        Any::Text(text) => {
            state.put([key, "\tquoted"], json::encode(&text))?;
            state.put(key, text)
        }
        _ => state.put(key, "-"),
    }
}

impl Migrate for Exerciser {
    /// Rewrites the rows of an older state.
    fn migrate(&mut self, from: i32, state: &mut State) -> Result<(), Error> {
        if from == 9 {
            fail!("said: no schema 9");
        }
        let mut rows = Vec::new();
        state.scan("row\t", "", |key, value| {
            rows.push((key.to_vec(), value.to_vec()));
            Ok(true)
        })?;
        for (key, value) in &rows {
            match value.as_slice() {
                [] => state.delete(key)?,
                _ => state.put(key, [from.to_string().as_bytes(), value].concat())?,
            }
        }
        state.put("migrated", rows.len().to_string())
    }
}

impl Query for Exerciser {
    fn query(&mut self, request: &[u8], state: &mut Reader) -> Result<Vec<u8>, Error> {
        match request {
            b"large" => return Ok(vec![0; (1 << 20) + 1]),
            b"fail" => fail!("no\0é"),
            _ => {}
        }
        match state.get(request)? {
            Some(value) => Ok([b"=", value].concat()),
            None => fail!("absent"),
        }
    }
}
