package gnomon

import (
	"errors"
	"strconv"
	"strings"

	"gnomon/sdk/go/internal/boundary"
	"gnomon/sdk/jsonfields"
)

// SettingSet reads settings into variables, as package flag reads arguments. It does what
// Settings does without encoding/json, which is most of what a small module is made of (some
// 280 KB with TinyGo, 900 KB with Go):
//
//	var s gnomon.SettingSet
//	s.Int("overdraft", &overdraft)
//	s.String("alerts", &alerts)
//	return s.Read()
//
// What the variables hold are the defaults. The zero value is an empty set.
type SettingSet struct {
	names []string
	take  []func(v Value) bool
	wants []string
}

func (s *SettingSet) add(name, want string, take func(v Value) bool) {
	s.names, s.wants, s.take = append(s.names, name), append(s.wants, want), append(s.take, take)
}

// Int adds a whole number of at most 18 digits.
func (s *SettingSet) Int(name string, into *int64) {
	s.add(name, "a whole number of at most 18 digits", func(v Value) (ok bool) {
		n, ok := v.Int()
		if ok {
			*into = n
		}
		return ok
	})
}

// String adds a string.
func (s *SettingSet) String(name string, into *string) {
	s.add(name, "a string", func(v Value) bool {
		if v.Kind() != String {
			return false
		}
		text, _ := v.Text()
		*into = string(text)
		return true
	})
}

// Bool adds true or false.
func (s *SettingSet) Bool(name string, into *bool) {
	s.add(name, "true or false", func(v Value) bool {
		*into = string(v.Raw()) == "true"
		return v.Kind() == Bool
	})
}

// Float adds a number.
func (s *SettingSet) Float(name string, into *float64) {
	s.add(name, "a number", func(v Value) bool {
		n, err := strconv.ParseFloat(string(v.Raw()), 64)
		if v.Kind() != Number || err != nil {
			return false
		}
		*into = n
		return true
	})
}

// Read reads the settings. One that is not in the set, or of another type, is an error, so
// that a misspelt name is noticed. Call it from OnInit: then that is reported before the
// first event.
func (s *SettingSet) Read() error {
	buf, n := boundary.Fill(nil, boundary.ConfigRead)
	if n < 0 {
		return boundary.Wrap("read settings", boundary.CodeError(n))
	}
	names, err := jsonfields.Names(buf[:n])
	if err != nil {
		return boundary.Wrap("settings", err)
	}
	for _, name := range names {
		if !s.has(name) {
			return errors.New("settings: unknown setting " + strconv.Quote(name) + "; there is " + strings.Join(s.names, ", "))
		}
	}
	values, err := NewFields(s.names...).Read(buf[:n])
	if err != nil {
		return boundary.Wrap("settings", err)
	}
	for i, v := range values {
		if v.Kind() != Absent && !s.take[i](v) {
			return errors.New("settings: " + s.names[i] + " is " + shortened(v.Raw()) + ", not " + s.wants[i])
		}
	}
	return nil
}

func (s *SettingSet) has(name string) bool {
	for _, n := range s.names {
		if n == name {
			return true
		}
	}
	return false
}
