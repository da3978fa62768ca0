package main

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"

	gnomon "gnomon/sdk/go"
)

// holder is an account as answers show it.
type holder struct {
	name    string
	balance int64
}

var requestFields = gnomon.NewFields("top")

var errTop = errors.New("top must be from 1 to 100")

// onQuery answers a request such as {"top":3}: the accounts with the highest balances.
func onQuery(request []byte, st gnomon.Reader) ([]byte, error) {
	top, err := readTop(request)
	if err != nil {
		return nil, err
	}
	all, err := holders(st)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b holder) int {
		return cmp.Or(cmp.Compare(b.balance, a.balance), strings.Compare(a.name, b.name))
	})
	return appendHolders(nil, all[:min(top, len(all))]), nil
}

// holders returns all accounts, by name.
func holders(st gnomon.Reader) (all []holder, err error) {
	var broken error
	err = st.Scan(prefix, "", func(key string, value []byte) bool {
		var a account
		if a, broken = decode(value); broken == nil {
			all = append(all, holder{key[len(prefix):], a.balance})
		}
		return broken == nil
	})
	return all, errors.Join(err, broken)
}

func readTop(request []byte) (int, error) {
	if len(request) == 0 {
		return 3, nil
	}
	f, err := requestFields.Read(request)
	if err != nil {
		return 0, err
	}
	if f[0].Kind() == gnomon.Absent {
		return 3, nil
	}
	top, ok := f[0].Int()
	if !ok || top < 1 || top > 100 {
		return 0, errTop
	}
	return int(top), nil
}

func appendHolders(dst []byte, list []holder) []byte {
	dst = append(dst, '[')
	for i, h := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = gnomon.AppendQuoted(append(dst, `{"account":`...), h.name)
		dst = strconv.AppendInt(append(dst, `,"balance":`...), h.balance, 10)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}
