// Command answers is a projection that answers requests: with the value of a key, or with how
// many keys there are.
package main

import (
	"fmt"
	"strconv"

	gnomon "gnomon/sdk/go"
	"gnomon/sdk/go/query"
)

func init() {
	gnomon.OnEvent(func(ev gnomon.Event, st gnomon.State) error { return st.Put(ev.Subject(), ev.Data()) })
	query.OnRequest(func(request []byte, st gnomon.Reader) ([]byte, error) {
		if len(request) == 0 {
			n := 0
			err := st.Scan("", "", func(string, []byte) bool { n++; return true })
			return strconv.AppendInt(nil, int64(n), 10), err
		}
		value, ok, err := st.Get(string(request))
		if err == nil && !ok {
			err = fmt.Errorf("there is no %q", request)
		}
		return value, err
	})
}

func main() {}
