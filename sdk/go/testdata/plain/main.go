// Command plain is a projection that uses nothing but its keyspace.
package main

import gnomon "gnomon/sdk/go"

func init() {
	gnomon.OnEvent(func(ev gnomon.Event, st gnomon.State) error { return st.Put(ev.Subject(), ev.Data()) })
}

func main() {}
