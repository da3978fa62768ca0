// Command emits is a projection that emits events.
package main

import gnomon "gnomon/sdk/go"

func init() {
	gnomon.OnEvent(func(ev gnomon.Event, _ gnomon.State) error { return gnomon.Emit("seen."+ev.Subject(), ev.Data()) })
}

func main() {}
