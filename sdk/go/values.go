package gnomon

import (
	"encoding/json"
	"strconv"

	"gnomon/sdk/go/internal/boundary"
)

// Getter is what Load loads from: a State, or a Reader.
type Getter interface {
	Get(key string) (value []byte, ok bool, err error)
}

// Load decodes a key's value, which is JSON. The value is zero and ok is false when
// the key is absent.
func Load[T any](st Getter, key string) (value T, ok bool, err error) {
	raw, ok, err := st.Get(key)
	if err != nil || !ok {
		return value, false, err
	}
	if err := json.Unmarshal(raw, &value); err != nil {
		return value, false, &KeyError{"decode", key, err}
	}
	return value, true, nil
}

// Store sets a key's value to the JSON of value. encoding/json sorts the keys of
// maps, so the same value always has the same bytes.
func Store[T any](st State, key string, value T) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return &KeyError{"encode", key, err}
	}
	return st.Put(key, raw)
}

// Update loads a value, or a zero one when the key is absent, lets change change it
// and stores it. When change fails nothing is stored.
func Update[T any](st State, key string, change func(*T) error) error {
	value, _, err := Load[T](st, key)
	if err != nil {
		return err
	}
	if err := change(&value); err != nil {
		return boundary.Wrap("update "+strconv.Quote(key), err)
	}
	return Store(st, key, value)
}
