package main

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// scan finds the fields by hand, as the guest in WAT does.
func scan(data []byte) (account []byte, amount int64, err error) {
	for p := 0; p < len(data)-9; p++ {
		if data[p] != '"' {
			continue
		}
		switch string(data[p : p+9]) {
		case `"account"`:
			account = data[p+11:]
			n := bytes.IndexByte(account, '"')
			if n < 0 {
				return nil, 0, fmt.Errorf("no end of the account")
			}
			account = account[:n]
			p += 11 + n
		case `"amount":`:
			p += 9
			negative := data[p] == '-'
			if negative {
				p++
			}
			for amount = 0; p < len(data) && data[p]-'0' < 10; p++ {
				amount = amount*10 + int64(data[p]-'0')
			}
			if negative {
				amount = -amount
			}
		}
	}
	if account == nil {
		return nil, 0, fmt.Errorf("no account")
	}
	return account, amount, nil
}

// decode finds the fields as most programs do.
func decode(data []byte) (account []byte, amount int64, err error) {
	var e struct {
		Account string `json:"account"`
		Amount  int64  `json:"amount"`
	}
	err = json.Unmarshal(data, &e)
	return []byte(e.Account), e.Amount, err
}
