package config

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/agnivade/levenshtein"
)

// decode reads TOML into a struct, strictly. The library turns text into maps;
// these are then taken over key by key, because it matches keys without regard to
// case, and does not tell where an unknown one stands.
func decode(name string, b []byte, env func(string) (string, bool), v any) (*document, error) {
	d := &decoder{document: newDocument(name, b), env: env}
	var raw map[string]any
	if _, err := toml.NewDecoder(bytes.NewReader(b)).Decode(&raw); err != nil {
		return nil, d.decodeError(err)
	}
	return d.document, d.table(nil, raw, reflect.ValueOf(v).Elem())
}

type decoder struct {
	*document
	env func(string) (string, bool)
}

// unmarshaler is a value that reads itself.
type unmarshaler interface{ UnmarshalTOML(any) error }

// table takes a table over into a struct.
func (d *decoder) table(p path, raw map[string]any, v reflect.Value) error {
	for _, key := range d.inOrder(p, raw) {
		at := p.add(key)
		field, ok := fieldOf(v, key)
		if !ok {
			return d.mistake(at, "%s", unknown(at, v.Type()))
		}
		if err := d.value(at, raw[key], field); err != nil {
			return err
		}
	}
	return nil
}

// inOrder returns the keys of a table as they stand in the file, so that the first
// mistake is the one reported.
func (d *decoder) inOrder(p path, raw map[string]any) []string {
	return slices.SortedFunc(maps.Keys(raw), func(a, b string) int {
		return cmp.Or(cmp.Compare(d.line(p.add(a)), d.line(p.add(b))), cmp.Compare(a, b))
	})
}

func fieldOf(v reflect.Value, key string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if tag := v.Type().Field(i).Tag.Get("toml"); tag == key && tag != "-" {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

// value takes one value over.
func (d *decoder) value(p path, raw any, v reflect.Value) error {
	if _, table := raw.(map[string]any); !table || v.Kind() == reflect.Map {
		var err error
		if raw, err = d.expand(p, raw); err != nil {
			return err
		}
	}
	if u, ok := v.Addr().Interface().(unmarshaler); ok {
		if err := u.UnmarshalTOML(raw); err != nil {
			return d.mistake(p, "%s: %s", p.key(), err)
		}
		return nil
	}
	switch raw := raw.(type) {
	case map[string]any:
		switch v.Kind() {
		case reflect.Struct:
			return d.table(p, raw, v)
		case reflect.Map:
			v.Set(reflect.ValueOf(raw))
			return nil
		}
	case []map[string]any:
		if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct {
			return d.tables(p, raw, v)
		}
	case []any:
		if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.String {
			return d.strings(p, raw, v)
		}
	case int64:
		if v.CanInt() && !v.OverflowInt(raw) {
			v.SetInt(raw)
			return nil
		}
	default:
		if r := reflect.ValueOf(raw); r.Type() == v.Type() {
			v.Set(r)
			return nil
		}
	}
	return d.mistake(p, "%s: expected %s, found %s", p.key(), kindOf(v.Type()), describe(p, raw))
}

// tables takes an array of tables over, each on top of its defaults.
func (d *decoder) tables(p path, raw []map[string]any, v reflect.Value) error {
	for i, t := range raw {
		element := reflect.New(v.Type().Elem()).Elem()
		switch e := element.Addr().Interface().(type) {
		case *Stream:
			*e = DefaultStream()
		case *Upcaster:
			*e = DefaultUpcaster()
		case *Projection:
			*e = DefaultProjection()
		}
		if err := d.table(p.element(i), t, element); err != nil {
			return err
		}
		v.Set(reflect.Append(v, element))
	}
	return nil
}

func (d *decoder) strings(p path, raw []any, v reflect.Value) error {
	list := make([]string, 0, len(raw))
	for _, item := range raw {
		s, ok := item.(string)
		if !ok {
			return d.mistake(p, "%s: expected a list of strings, found %s in it", p.key(), describe(p, item))
		}
		list = append(list, s)
	}
	v.Set(reflect.ValueOf(list))
	return nil
}

// expand replaces ${NAME} in strings, also those inside a table of settings, by the
// environment. It happens after the text was parsed, so that no value can be
// mistaken for configuration. $${NAME} stands for ${NAME}.
func (d *decoder) expand(p path, raw any) (any, error) {
	switch raw := raw.(type) {
	case string:
		return d.expandString(p, raw)
	case []any:
		for i := range raw {
			var err error
			if raw[i], err = d.expand(p, raw[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for k := range raw {
			var err error
			if raw[k], err = d.expand(p.add(k), raw[k]); err != nil {
				return nil, err
			}
		}
	}
	return raw, nil
}

func (d *decoder) expandString(p path, s string) (string, error) {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(s, "${")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		name, rest, closed := strings.Cut(after, "}")
		switch {
		case strings.HasSuffix(before, "$"):
			out.WriteString("{") // the dollar before it is written already
			s = after
			continue
		case !closed:
			return "", d.mistake(p, "%s: ${ without }; write $${ for the characters themselves", p.key())
		}
		value, ok := d.env(name)
		if !ok {
			return "", d.mistake(p, "%s: the environment has no variable %s; write $${%s} for the characters themselves", p.key(), name, name)
		}
		out.WriteString(value)
		s = rest
	}
}

// unknown says that a key is not known, and which one may be meant.
func unknown(p path, t reflect.Type) string {
	key := p[len(p)-1]
	best, distance := "", len(key)/2+2
	for i := range t.NumField() {
		tag := t.Field(i).Tag.Get("toml")
		if n := levenshtein.ComputeDistance(strings.ToLower(key), tag); tag != "-" && n < distance {
			best, distance = tag, n
		}
	}
	text := fmt.Sprintf("unknown key %q", p.key())
	if best != "" {
		text += fmt.Sprintf(": did you mean %q?", path(append(p[:len(p)-1:len(p)-1], best)).key())
	}
	return text
}

// kindOf names a type of the configuration in the words of TOML.
func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Struct, reflect.Map:
		return "a table"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.String {
			return "a list of strings"
		}
		return "an array of tables, [[...]]"
	}
	return "a whole number"
}

// secrets are the keys whose values show nowhere.
var secrets = []string{"nats.password", "nats.token", "nats.url"}

func describe(p path, raw any) string {
	if slices.Contains(secrets, p.key()) {
		return "something else"
	}
	switch raw := raw.(type) {
	case string:
		return fmt.Sprintf("the string %q", raw)
	case map[string]any:
		return "a table"
	case []map[string]any:
		return "an array of tables"
	case []any:
		return "a list"
	}
	return fmt.Sprint(raw)
}
