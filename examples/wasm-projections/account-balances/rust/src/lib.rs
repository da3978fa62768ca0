//! A projection that keeps the balance of every account, emits an event when one is overdrawn,
//! and answers which accounts have the most.

use gnomon::{fail, json, json_struct, log, Error, Event, Projection, Query, Reader, State};

json_struct! {
    /// What [projection.settings] of the configuration may say, and the defaults.
    struct Settings {
        overdraft: i64 = 0,                // how far below zero an account may be
        alerts: String = "alerts.account", // first part of the subject of what is emitted
    }
}

json_struct! {
    /// The value of a key.
    struct Account {
        owner: String,
        balance: i64,
        events: i64,  // so many were applied
        last: String, // the time of the last of them, as it says it
    }
}

/// Begins the keys of accounts; the account's name follows.
const PREFIX: &str = "account\t";

const MOST: i64 = 999_999_999_999_999;

struct Balances {
    settings: Settings,
}

gnomon::projection!(Balances: Query);

impl Projection for Balances {
    type Settings = Settings;

    fn new(settings: Settings) -> Result<Self, Error> {
        if settings.overdraft < 0 {
            fail!("settings: overdraft is {}: at least 0 is expected", settings.overdraft);
        }
        Ok(Balances { settings })
    }

    /// Is called for every event, in the order of the stream. An error takes back all that the
    /// event wrote and emitted.
    fn on_event(&mut self, event: &Event, state: &mut State) -> Result<(), Error> {
        match event.kind()? {
            "account.opened" => open(event, state, text(event, "account")?),
            "account.deposited" => self.transfer(event, state, text(event, "account")?, amount(event)?),
            "account.withdrawn" => self.transfer(event, state, text(event, "account")?, -amount(event)?),
            "account.closed" => close(state, text(event, "account")?),
            _ => Ok(()),
        }
    }
}

impl Balances {
    fn transfer(&self, event: &Event, state: &mut State, name: &str, amount: i64) -> Result<(), Error> {
        let mut account = load(state, name)?;
        let limit = -self.settings.overdraft;
        let crosses = account.balance >= limit && account.balance + amount < limit;
        account.balance += amount;
        account.events += 1;
        account.last.clear();
        account.last.push_str(event.header("ce-time")?);
        if crosses {
            self.alert(event, state, name, &account)?;
        }
        state.store([PREFIX, name], &account)
    }

    /// Emits that the account is overdrawn: once, however often this is computed anew.
    fn alert(&self, event: &Event, state: &mut State, name: &str, account: &Account) -> Result<(), Error> {
        let data = json::object(&[("account", &name), ("balance", &account.balance), ("sequence", &event.sequence())]);
        let length = account.owner.len().to_string();
        let headers = [("ce-type", "account.overdrawn"), ("account-owner-length", &length)];
        state.emit(&format!("{}.overdrawn", self.settings.alerts), data, &headers)
    }
}

fn open(event: &Event, state: &mut State, name: &str) -> Result<(), Error> {
    let owner = text(event, "owner")?.to_owned();
    if state.get([PREFIX, name])?.is_some() {
        fail!("account {name} is open already");
    }
    let last = event.header("ce-time")?.to_owned();
    state.store([PREFIX, name], &Account { owner, balance: 0, events: 1, last })
}

fn close(state: &mut State, name: &str) -> Result<(), Error> {
    let account = load(state, name)?;
    if account.balance != 0 {
        fail!("account {name} is closed with a balance of {}", account.balance);
    }
    log::info(format!("account {name} closed after {} events", account.events + 1));
    state.delete([PREFIX, name])
}

fn load(state: &mut State, name: &str) -> Result<Account, Error> {
    state.load([PREFIX, name])?.ok_or_else(|| Error::from(format!("account {name} is not open")))
}

/// A field that must say something.
fn text<'a>(event: &Event<'a>, field: &str) -> Result<&'a str, Error> {
    match event.field(field)?.as_str() {
        Some(text) if !text.is_empty() => Ok(text),
        _ => fail!("{field} must be a text"),
    }
}

fn amount(event: &Event) -> Result<i64, Error> {
    match event.field("amount")?.as_int() {
        Some(n @ 1..=MOST) => Ok(n),
        _ => fail!("amount must be a whole number from 1 to {MOST}"),
    }
}

json_struct! {
    /// An account as answers show it.
    struct Holder {
        account: String,
        balance: i64,
    }
}

impl Query for Balances {
    /// Answers a request such as {"top":3}: the accounts with the highest balances.
    fn query(&mut self, request: &[u8], state: &mut Reader) -> Result<Vec<u8>, Error> {
        let top = top(request)?;
        let mut all = Vec::new();
        state.scan(PREFIX, "", |key, value| {
            let stored: Account = json::decode(value)?;
            let account = std::str::from_utf8(&key[PREFIX.len()..])?.to_owned();
            all.push(Holder { account, balance: stored.balance });
            Ok(true)
        })?;
        all.sort_by(|a, b| b.balance.cmp(&a.balance)); // stable: equal ones stay in the order of keys
        all.truncate(top);
        Ok(json::encode(&all))
    }
}

json_struct! {
    struct Request {
        top: i64 = 3,
    }
}

fn top(request: &[u8]) -> Result<usize, Error> {
    if request.is_empty() {
        return Ok(3);
    }
    match json::decode::<Request>(request) {
        Ok(Request { top: top @ 1..=100 }) => Ok(top as usize),
        _ => fail!("top must be from 1 to 100"),
    }
}

#[cfg(test)]
mod tests;
