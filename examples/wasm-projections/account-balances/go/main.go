// A projection that keeps the balance of every account, emits an event when one is
// overdrawn, and answers which accounts have the most. README.md has keys and settings.
package main

import (
	"errors"
	"fmt"
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
	Overdraft int64  `json:"overdraft"` // how far below zero an account may be
	Alerts    string `json:"alerts"`    // first part of the subject of what is emitted
}{0, "alerts.account"}

func readSettings() error {
	if err := gnomon.Settings(&settings); err != nil {
		return err
	}
	if settings.Overdraft < 0 {
		return fmt.Errorf("settings: overdraft is %d: at least 0 is expected", settings.Overdraft)
	}
	return nil
}

// prefix begins the keys of accounts; the account's name follows.
const prefix = "account\t"

const mostAmount = 999_999_999_999_999

var errAmount = fmt.Errorf("amount must be a whole number from 1 to %d", mostAmount)

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
		return fmt.Errorf("account %s is not open", name)
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
	if before >= -settings.Overdraft && a.balance < -settings.Overdraft {
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
		return fmt.Errorf("account %s is open already", name)
	}
	a := account{owner: owner, events: 1, last: ev.Header("ce-time")}
	return st.Put(prefix+name, a.encode())
}

func closeAccount(st gnomon.State, name string, a account) error {
	if a.balance != 0 {
		return fmt.Errorf("account %s is closed with a balance of %d", name, a.balance)
	}
	gnomon.Log.Info(fmt.Sprintf("account %s closed after %d events", name, a.events+1))
	return st.Delete(prefix + name)
}

// alert emits that the account is overdrawn: once, however often this is computed anew.
func alert(ev gnomon.Event, name string, a account) error {
	data := gnomon.AppendQuoted([]byte(`{"account":`), name)
	data = strconv.AppendInt(append(data, `,"balance":`...), a.balance, 10)
	data = strconv.AppendUint(append(data, `,"sequence":`...), ev.Sequence(), 10)
	return gnomon.Emit(settings.Alerts+".overdrawn", append(data, '}'),
		"ce-type", "account.overdrawn",
		"account-owner-length", strconv.Itoa(len(a.owner)))
}
