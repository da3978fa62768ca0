package main

import (
	"errors"
	"strconv"

	gnomon "gnomon/sdk/go"
)

// account is the value of a key. It is read and written by hand, a tenth of what
// encoding/json takes in a module; gnomon.Load and gnomon.Store are the comfortable way.
type account struct {
	owner   string
	balance int64
	events  int64  // so many were applied
	last    string // the time of the last of them, as it says it
}

var accountFields = gnomon.NewFields("owner", "balance", "events", "last")

// load returns the account, and whether it is open.
func load(st gnomon.Reader, name string) (a account, found bool, err error) {
	value, found, err := st.Get(prefix + name)
	if err != nil || !found {
		return a, false, err
	}
	a, err = decode(value)
	return a, true, err
}

func decode(value []byte) (a account, err error) {
	f, err := accountFields.Read(value)
	if err != nil {
		return a, errors.New("a stored account: " + err.Error())
	}
	owner, _ := f[0].Text()
	last, _ := f[3].Text()
	a.owner, a.last = string(owner), string(last)
	a.balance, _ = f[1].Int()
	a.events, _ = f[2].Int()
	return a, nil
}

// encode returns the value, which is valid until the next call.
func (a *account) encode() []byte {
	b := gnomon.AppendQuoted(append(encoded[:0], `{"owner":`...), a.owner)
	b = strconv.AppendInt(append(b, `,"balance":`...), a.balance, 10)
	b = strconv.AppendInt(append(b, `,"events":`...), a.events, 10)
	b = gnomon.AppendQuoted(append(b, `,"last":`...), a.last)
	encoded = append(b, '}')
	return encoded
}

var encoded []byte // buffer of encode
