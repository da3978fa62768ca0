package gnomon

import (
	"errors"
	"strconv"

	"gnomon/sdk/abi"
	"gnomon/sdk/go/internal/boundary"
)

// State is the projection's keyspace as the handler sees it: what was committed,
// and what this and earlier events wrote. Keys are any bytes, up to 64,000, and not
// empty; values are any bytes, up to 1 MiB. It can be used only while the handler
// runs. Errors name the key.
type State struct{ Reader }

// Reader is the part of State that reads. A handler of requests (package query) has
// no more than that: the keyspace as of one sequence.
type Reader struct{}

// KeyError is the error of a use of the state.
type KeyError struct {
	Op  string // get, put, delete or scan
	Key string
	Err error
}

func (e *KeyError) Error() string {
	key := e.Key
	if len(key) > shownKey {
		key = key[:shownKey] + "…"
	}
	return e.Op + " " + strconv.Quote(key) + ": " + e.Err.Error()
}

// Unwrap returns the reason.
func (e *KeyError) Unwrap() error { return e.Err }

// shownKey is how much of a key an error shows, in bytes.
const shownKey = 100

var errScanning = errors.New("the state cannot be written during a scan: collect the keys, and write after it")

// shared is the memory that uses of the state share, and whether a scan is under way.
var shared struct {
	value    []byte // of the last Get
	page     []byte // of a scan; nil while one is under way
	scanning int    // scans under way
}

// Get returns a key's value and whether it is present. The value is valid until
// the next call of Get, Load or Update.
func (Reader) Get(key string) (value []byte, ok bool, err error) {
	for {
		n := boundary.StateGet(key, shared.value)
		switch {
		case n == abi.NotFound:
			return nil, false, nil
		case n < 0:
			return nil, false, keyError("get", key, n)
		case int(n) <= len(shared.value):
			return shared.value[:n:n], true, nil
		}
		shared.value = make([]byte, max(2*int(n), 1<<10))
	}
}

// Put sets a key's value. Both are copied.
func (State) Put(key string, value []byte) error {
	if shared.scanning > 0 {
		return &KeyError{"put", key, errScanning}
	}
	if code := boundary.StatePut(key, value); code < 0 {
		return keyError("put", key, code)
	}
	return nil
}

// Delete removes a key. It may be absent.
func (State) Delete(key string) error {
	if shared.scanning > 0 {
		return &KeyError{"delete", key, errScanning}
	}
	if code := boundary.StateDelete(key); code < 0 {
		return keyError("delete", key, code)
	}
	return nil
}

// Scan calls visit for each key that has the prefix and is greater than after, in
// the order of their bytes, until visit returns false. An empty after begins with
// the first. The value is valid during the call. visit may read the state, not
// write it.
func (Reader) Scan(prefix, after string, visit func(key string, value []byte) bool) error {
	page := shared.page
	shared.page = nil
	shared.scanning++
	defer func() {
		shared.page = page
		shared.scanning--
	}()
	for {
		r := boundary.StateScan(prefix, after, 0, page)
		if r == int64(abi.TooLarge) && len(page) < maxEntry {
			page = make([]byte, nextPage(len(page)))
			continue
		}
		if r < 0 {
			return keyError("scan", prefix, int32(r))
		}
		if r == 0 {
			return nil
		}
		last, more := visitPage(page[:uint32(r)], visit)
		if !more {
			return nil
		}
		after = last
	}
}

// Keys returns the keys that have the prefix, in the order of their bytes: for those that are
// to be written one after the other, which a scan does not allow.
func (r Reader) Keys(prefix string) (keys []string, err error) {
	err = r.Scan(prefix, "", func(key string, _ []byte) bool { keys = append(keys, key); return true })
	return keys, err
}

const (
	firstPage = 16 << 10                         // bytes
	maxEntry  = abi.MaxValue + abi.MaxKey + 4096 // bytes, enough for any entry
)

func nextPage(n int) int {
	if n < firstPage {
		return firstPage
	}
	return maxEntry
}

// visitPage visits the entries {u32 klen, u32 vlen, key, value}* of a page. It
// returns the last key and whether to go on.
func visitPage(page []byte, visit func(key string, value []byte) bool) (last string, more bool) {
	for len(page) > 0 {
		k, v := load32(page), load32(page[4:])
		last = string(page[8 : 8+k])
		if !visit(last, page[8+k:8+k+v:8+k+v]) {
			return last, false
		}
		page = page[8+k+v:]
	}
	return last, true
}

func load32(b []byte) uint32 {
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

func keyError(op, key string, code int32) error {
	return &KeyError{op, key, boundary.CodeError(code)}
}
