//! A projection natively: what the testing host gives it and takes from it.

use gnomon::testing::{Message, Run};
use gnomon::{fail, json_struct, Error, Event, Projection, Query, Reader, Snapshot, State};
use std::io;

json_struct! {
    struct Settings {
        limit: i64,
        name: String = "n",
    }
}

json_struct! {
    #[derive(Default)]
    struct Sum {
        sum: i64,
        events: u32,
    }
}

struct Sums {
    limit: i64,
    seen: u64,
}

gnomon::projection!(Sums: Query + Snapshot);

impl Projection for Sums {
    type Settings = Settings;

    fn new(settings: Settings) -> Result<Self, Error> {
        Ok(Sums { limit: settings.limit + settings.name.len() as i64, seen: 0 })
    }

    fn on_event(&mut self, event: &Event, state: &mut State) -> Result<(), Error> {
        self.seen += 1;
        let add = event.int("add")?;
        let key = [event.token(2)?, "\t", event.header("Name")?];
        let sum = state.fold(key, |s: &mut Sum| {
            s.sum += add;
            s.events += 1;
            Ok(s.sum)
        })?;
        state.emit("sums", sum.to_string(), &[("at", &event.time_ns().to_string())])?;
        if sum > self.limit {
            fail!("{sum} is more than {}", self.limit);
        }
        Ok(())
    }
}

impl Query for Sums {
    fn query(&mut self, request: &[u8], state: &mut Reader) -> Result<Vec<u8>, Error> {
        if request == b"seen" {
            return Ok(self.seen.to_string().into());
        }
        let mut keys = Vec::new();
        state.scan(request, "", |key, _| {
            keys.push(String::from_utf8(key.to_vec())?);
            Ok(true)
        })?;
        Ok(keys.join(" ").into())
    }
}

impl Snapshot for Sums {
    fn snapshot(&self, out: &mut dyn io::Write) -> Result<(), Error> {
        Ok(out.write_all(&self.seen.to_le_bytes())?)
    }

    fn restore(&mut self, saved: &mut dyn io::Read) -> Result<(), Error> {
        let mut bytes = [0; 8];
        saved.read_exact(&mut bytes)?;
        self.seen = u64::from_le_bytes(bytes);
        Ok(())
    }
}

fn add(n: i64) -> Message {
    Message::new("added", format!(r#"{{"add":{n}}}"#)).subject("sums.a.x").header("name", "N").header("ce-time", "1970-01-01T00:00:01Z")
}

/// Folds are kept, an event that fails leaves nothing, and the next one goes on.
#[test]
fn a_failed_event_leaves_nothing() {
    let mut run = Run::<Sums>::new(r#"{"limit":9}"#).unwrap();
    run.send(add(4)).unwrap();
    assert_eq!(run.send(add(7)), Err("11 is more than 10".into()));
    run.send(add(6)).unwrap();
    assert_eq!(run.text("a\tN"), Some(r#"{"sum":10,"events":2}"#));
    let emitted: Vec<_> = run.emitted().iter().map(|e| (e.sequence, e.data.as_slice(), e.headers[0].1.as_str())).collect();
    assert_eq!(emitted, [(1, &b"4"[..], "1000000000"), (3, b"10", "1000000000")]);
    assert_eq!(run.query("a").unwrap(), b"a\tN");
}

/// Settings have defaults, and what is missing, unknown or of another type is named.
#[test]
fn settings_are_typed() {
    for (settings, want) in [
        ("{}", r#"settings: "limit" is missing"#),
        (r#"{"limit":1,"limits":2}"#, r#"settings: "limits" is unknown: there are limit, name"#),
        (r#"{"limit":"1"}"#, "settings: limit: at byte 9: a number is expected"),
    ] {
        assert_eq!(Run::<Sums>::new(settings).err().unwrap(), want);
    }
}

/// A field that is absent, or of another kind, is named, and so is data that is no JSON.
#[test]
fn fields_that_are_not_there() {
    for (data, want) in [
        ("{}", r#"the event's data has no field "add""#),
        (r#"{"add":"1"}"#, r#"field "add" is "1", not a whole number of at most 18 digits"#),
        (r#"{"add":1"#, "event data at byte 8: ',' or '}' is expected"),
    ] {
        let mut run = Run::<Sums>::new(r#"{"limit":9}"#).unwrap();
        assert_eq!(run.send(Message::new("added", data)), Err(want.into()));
    }
}

/// A value that was stored by something else is an error that names the key.
#[test]
fn a_broken_value_is_named() {
    struct Broken;
    impl Projection for Broken {
        type Settings = ();
        fn new(_: ()) -> Result<Self, Error> {
            Ok(Broken)
        }
        fn on_event(&mut self, event: &Event, state: &mut State) -> Result<(), Error> {
            state.put("k", event.data())?;
            state.load::<Sum>("k").map(drop)
        }
    }
    let mut run = Run::<Broken>::new("{}").unwrap();
    assert_eq!(run.send(Message::new("", "[1]")), Err(r#"decode "k": at byte 0: an object is expected"#.into()));
    assert_eq!(run.send(Message::new("", r#"{"sum":1}"#)), Err(r#"decode "k": "events" is missing"#.into()));
    run.send(Message::new("", r#"{"sum":1,"events":2}"#)).unwrap();
}

/// Memory outlasts a restart by its snapshot; without one it is gone.
#[test]
fn memory_is_restored() {
    let mut run = Run::<Sums>::new(r#"{"limit":9}"#).unwrap();
    run.send_all(&[add(1), add(1)]).unwrap();
    run.restore().unwrap();
    assert_eq!(run.query("seen").unwrap(), b"2");
    run.restart().unwrap();
    assert_eq!(run.query("seen").unwrap(), b"0");
}
