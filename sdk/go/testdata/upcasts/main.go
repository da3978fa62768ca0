// Command upcasts is an upcaster: of events with a full name it makes such with two names,
// of batches one event for each of their items, it drops what is a test, and keeps the rest.
package main

import (
	"strings"

	gnomon "gnomon/sdk/go"
	"gnomon/sdk/go/upcast"
)

var settings struct {
	Suffix string `json:"suffix"`
}

func init() {
	gnomon.OnInit(func() error { return gnomon.Settings(&settings) })
	upcast.OnEvent(func(ev gnomon.Event, out *upcast.Out) error {
		switch ev.Token(1) {
		case "named":
			name, err := ev.String("name")
			if err != nil {
				return err
			}
			first, last, _ := strings.Cut(name, " ")
			return out.JSON(ev.Subject()+settings.Suffix, map[string]string{"first": first, "last": last}, "ce-type", "named.v2", "Trace", "")
		case "batch":
			for _, item := range strings.Fields(string(ev.Data())) {
				if err := out.Put("item."+item, []byte(item)); err != nil {
					return err
				}
			}
			return nil
		case "test":
			return nil
		}
		return out.Keep()
	})
}

func main() {}
