use super::*;
use gnomon::testing::{Message, Run};

fn event(kind: &str, data: &str) -> Message {
    Message::new(kind, data).header("ce-time", "2026-03-01T10:00:00Z")
}

/// A run in which account a-1 is open.
fn opened(settings: &str) -> Run<Balances> {
    let mut run = Run::new(settings).unwrap();
    run.send(event("account.opened", r#"{"account":"a-1","owner":"Ada"}"#)).unwrap();
    run
}

/// A balance is what was deposited less what was withdrawn.
#[test]
fn balance() {
    let mut run = opened("{}");
    run.send(event("account.deposited", r#"{"account":"a-1","amount":40}"#)).unwrap();
    run.send(event("account.withdrawn", r#"{"account":"a-1","amount":15}"#)).unwrap();
    let want = r#"{"owner":"Ada","balance":25,"events":3,"last":"2026-03-01T10:00:00Z"}"#;
    assert_eq!(run.text("account\ta-1"), Some(want));
    assert_eq!(run.query("").unwrap(), br#"[{"account":"a-1","balance":25}]"#);
}

/// Crossing the limit is told once, however far below it the account is.
#[test]
fn alert_on_crossing() {
    let mut run = opened(r#"{"overdraft":100}"#);
    for _ in 0..3 {
        run.send(event("account.withdrawn", r#"{"account":"a-1","amount":60}"#)).unwrap();
    }
    assert_eq!(run.emitted().len(), 1);
    assert_eq!(run.emitted()[0].subject, "alerts.account.overdrawn");
    assert_eq!(run.emitted()[0].data, br#"{"account":"a-1","balance":-120,"sequence":3}"#);
}

/// What cannot be is an error, which says what was expected.
#[test]
fn refusals() {
    for (kind, data, want) in [
        ("account.opened", r#"{"account":"a-1","owner":"Bob"}"#, "account a-1 is open already"),
        ("account.deposited", r#"{"account":"b","amount":1}"#, "account b is not open"),
        ("account.deposited", r#"{"account":"a-1","amount":1.5}"#, "amount must be a whole number from 1 to 999999999999999"),
        ("account.closed", "{}", "account must be a text"),
    ] {
        assert_eq!(opened("{}").send(event(kind, data)), Err(want.into()), "{kind} {data}");
    }
    assert!(Run::<Balances>::new(r#"{"overdraft":-1}"#).is_err());
}
