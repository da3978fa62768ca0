// A projection that keeps the balance of every account, emits an event when one is
// overdrawn, and answers which accounts have the most. README.md has keys and settings.
package main

import (
	"errors"
	"strconv"

	gnomon "gnomon/sdk/go"
	"gnomon/sdk/go/query"
)

func init() {
	gnomon.OnInit(readSettings)
	gnomon.OnEvent(onEvent)
	query.OnRequest(onQuery)
}

func main() {}

// settings are what [projection.settings] of the configuration may say, and the defaults.
var settings = struct {
	overdraft int64  // how far below zero an account may be
	alerts    string // first part of the subject of what is emitted
}{0, "alerts.account"}

func readSettings() error {
	var s gnomon.SettingSet
	s.Int("overdraft", &settings.overdraft)
	s.String("alerts", &settings.alerts)
	if err := s.Read(); err != nil {
		return err
	}
	if settings.overdraft < 0 {
		return errors.New("settings: overdraft must not be negative")
	}
	return nil
}

// prefix begins the keys of accounts; the account's name follows.
const prefix = "account\t"

const mostAmount int64 = 999_999_999_999_999

var errAmount = errors.New("amount must be a whole number from 1 to " + strconv.FormatInt(mostAmount, 10))

// onEvent is called for every event, in the order of the stream. An error takes back
// all that the event wrote and emitted.
func onEvent(ev gnomon.Event, st gnomon.State) error {
	kind := ev.Type()
	switch kind {
	case "account.opened", "account.deposited", "account.withdrawn", "account.closed":
	default:
		return nil
	}
	name, err := text(ev, "account")
	if err != nil {
		return err
	}
	if kind == "account.opened" {
		return open(ev, st, name)
	}
	var amount int64
	if kind != "account.closed" {
		if amount, err = ev.Int("amount"); err != nil || amount < 1 || amount > mostAmount {
			return errAmount
		}
	}
	a, found, err := load(st.Reader, name)
	switch {
	case err != nil:
		return err
	case !found:
		return errors.New("account " + name + " is not open")
	}
	switch kind {
	case "account.closed":
		return closeAccount(st, name, a)
	case "account.withdrawn":
		amount = -amount
	}
	before := a.balance
	a.balance += amount
	a.events++
	a.last = ev.Header("ce-time")
	if before >= -settings.overdraft && a.balance < -settings.overdraft {
		if err := alert(ev, name, a); err != nil {
			return err
		}
	}
	return st.Put(prefix+name, a.encode())
}

// text is a field that must say something.
func text(ev gnomon.Event, field string) (string, error) {
	s, err := ev.String(field)
	if err != nil || s == "" {
		return "", errors.New(field + " must be a text")
	}
	return s, nil
}

func open(ev gnomon.Event, st gnomon.State, name string) error {
	owner, err := text(ev, "owner")
	if err != nil {
		return err
	}
	if _, found, err := st.Get(prefix + name); err != nil {
		return err
	} else if found {
		return errors.New("account " + name + " is open already")
	}
	a := account{owner: owner, events: 1, last: ev.Header("ce-time")}
	return st.Put(prefix+name, a.encode())
}

func closeAccount(st gnomon.State, name string, a account) error {
	if a.balance != 0 {
		return errors.New("account " + name + " is closed with a balance of " + strconv.FormatInt(a.balance, 10))
	}
	gnomon.Log.Info("account " + name + " closed after " + strconv.FormatInt(a.events+1, 10) + " events")
	return st.Delete(prefix + name)
}

// alert emits that the account is overdrawn: once, however often this is computed anew.
func alert(ev gnomon.Event, name string, a account) error {
	data := gnomon.AppendQuoted([]byte(`{"account":`), name)
	data = strconv.AppendInt(append(data, `,"balance":`...), a.balance, 10)
	data = strconv.AppendUint(append(data, `,"sequence":`...), ev.Sequence(), 10)
	return gnomon.Emit(settings.alerts+".overdrawn", append(data, '}'),
		"ce-type", "account.overdrawn",
		"account-owner-length", strconv.Itoa(len(a.owner)))
}
