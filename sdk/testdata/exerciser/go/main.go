// Command go is the exerciser in Go, and in TinyGo: sdk/same_test.go says what it does.
package main

import (
	"encoding/binary"
	"errors"
	"strconv"

	gnomon "gnomon/sdk/go"
	"gnomon/sdk/go/migrate"
	"gnomon/sdk/go/query"
)

var (
	name = "none"
	n    = int64(7)
	flag bool
	own  = gnomon.NewFields("s", "n")
)

func init() {
	gnomon.OnInit(func() error {
		var s gnomon.SettingSet
		s.String("name", &name)
		s.Int("n", &n)
		s.Bool("flag", &flag)
		return s.Read()
	})
	gnomon.OnEvent(func(ev gnomon.Event, st gnomon.State) error {
		switch ev.Type() {
		case "json":
			return fields(ev, st)
		case "settings":
			return st.Put("settings", []byte(name+"|"+strconv.FormatInt(n, 10)+"|"+strconv.FormatBool(flag)))
		}
		return operations(ev, st)
	})
	query.OnRequest(answer)
	migrate.OnSchema(takeOver)
}

func main() {}

// operations does what the event's data says: {u8 operation, u32 length of a, u32 length of b, a, b}*.
func operations(ev gnomon.Event, st gnomon.State) error {
	trace := []byte{}
	for p := ev.Data(); len(p) > 0; {
		la, lb := binary.LittleEndian.Uint32(p[1:]), binary.LittleEndian.Uint32(p[5:])
		op, a, b := p[0], string(p[9:9+la]), p[9+la:9+la+lb]
		p = p[9+la+lb:]
		var err error
		if trace, err = operation(ev, st, op, a, b, trace); err != nil {
			return err
		}
	}
	return st.Put("trace\t"+strconv.FormatUint(ev.Sequence(), 10), trace)
}

func operation(ev gnomon.Event, st gnomon.State, op byte, a string, b, trace []byte) ([]byte, error) {
	switch op {
	case 'p':
		return trace, st.Put(a, b)
	case 'd':
		return trace, st.Delete(a)
	case 'c':
		v, ok, err := st.Get(a)
		if err != nil {
			return nil, err
		}
		if !ok {
			return trace, st.Delete(string(b))
		}
		return append(strconv.AppendInt(trace, int64(len(v)), 10), ';'), st.Put(string(b), v)
	case 's', 'S':
		return scan(st, op == 'S', a, string(b), trace)
	case 'e':
		var headers []string
		for i := 1; i < len(b); i++ {
			headers = append(headers, "h"+strconv.Itoa(i%5), a[:len(a)*int(b[i]%2)])
		}
		return trace, gnomon.Emit(a, b, headers...)
	case 'l':
		[]func(string){gnomon.Log.Debug, gnomon.Log.Info, gnomon.Log.Warn, gnomon.Log.Error}[b[0]](a)
		return trace, nil
	case 'h':
		return append(append(trace, ev.Header(a)...), ';'), nil
	case 't':
		return append(append(trace, ev.Token(int(b[0]))...), ';'), nil
	case 'q':
		return gnomon.AppendQuoted(trace, a), nil
	case 'v':
		trace = append(append(trace, ev.Subject()...), ';')
		return append(append(append(trace, ev.Key()...), ';'), ev.ID()...), nil
	}
	if op == 'x' {
		fault(a)
	}
	return nil, errors.New(a)
}

var hoard [][]byte

// fault ends the call by a panic, or by having no more memory or stack.
func fault(kind string) {
	for kind == "memory" {
		hoard = append(hoard, make([]byte, 1<<20))
	}
	if kind == "stack" {
		println(deep(1))
	}
	panic("it is odd")
}

func deep(n int) int {
	frame := [100]int{n}
	if n == 0 {
		return 0
	}
	return deep(n+1+frame[1]) + frame[n%100]
}

func hash(h uint32, b string) uint32 {
	for i := range len(b) {
		h = (h ^ uint32(b[i])) * 16777619
	}
	return h
}

// scan reads other keys meanwhile.
func scan(st gnomon.State, stop bool, prefix, after string, trace []byte) ([]byte, error) {
	count, inner, size, h := 0, 0, 0, uint32(2166136261)
	var failed error
	err := st.Scan(prefix, after, func(key string, value []byte) bool {
		if count%50 == 0 {
			got, _, err := st.Get(key)
			if err == nil {
				inner += len(got)
				err = st.Scan(key, "", func(key string, value []byte) bool { inner++; return true })
			}
			if failed = err; err != nil {
				return false
			}
		}
		count++
		size += len(value)
		h = hash(hash(h, key), string(value[:min(len(value), 1000)]))
		return !stop || count < 3
	})
	if err == nil {
		err = failed
	}
	for _, n := range []int{count, inner, size, int(h)} {
		trace = append(strconv.AppendUint(trace, uint64(uint32(n)), 10), ';')
	}
	return trace, err
}

// fields reads the data's fields as the host found them, and itself.
func fields(ev gnomon.Event, st gnomon.State) error {
	at := strconv.FormatUint(ev.Sequence(), 10)
	for _, name := range []string{"s", "n", "é\n", "absent"} {
		v, err := ev.Field(name)
		if err != nil {
			return err
		}
		if err := keep(st, at+"\tfield\t"+name, v); err != nil {
			return err
		}
	}
	values, err := own.Read(ev.Data())
	if err != nil {
		return err
	}
	if err := keep(st, at+"\town\ts", values[0]); err != nil {
		return err
	}
	return keep(st, at+"\town\tn", values[1])
}

func keep(st gnomon.State, key string, v gnomon.Value) error {
	if n, ok := v.Int(); ok && n <= 1<<53 && n >= -1<<53 {
		return st.Put(key, strconv.AppendInt(nil, n, 10))
	}
	if text, ok := v.Text(); ok && v.Kind() == gnomon.String {
		if err := st.Put(key+"\tquoted", gnomon.AppendQuoted(nil, text)); err != nil {
			return err
		}
		return st.Put(key, text)
	}
	return st.Put(key, []byte("-"))
}

// takeOver rewrites the rows of an older state.
func takeOver(from int, st gnomon.State) error {
	if from == 9 {
		return errors.New("said: no schema 9")
	}
	keys, err := st.Keys("row\t")
	if err != nil {
		return err
	}
	for _, key := range keys {
		value, _, err := st.Get(key)
		if err != nil {
			return err
		}
		if len(value) == 0 {
			err = st.Delete(key)
		} else {
			err = st.Put(key, append(strconv.AppendInt(nil, int64(from), 10), value...))
		}
		if err != nil {
			return err
		}
	}
	return st.Put("migrated", strconv.AppendInt(nil, int64(len(keys)), 10))
}

func answer(request []byte, st gnomon.Reader) ([]byte, error) {
	switch string(request) {
	case "large":
		return make([]byte, 1<<20+1), nil
	case "fail":
		return nil, errors.New("no\x00é")
	}
	v, ok, err := st.Get(string(request))
	if err == nil && !ok {
		err = errors.New("absent")
	}
	return append([]byte{'='}, v...), err
}
