// Package upcast makes a module an upcaster: it rewrites old events into new ones before
// projections see them, so that projections handle one form of each event
// (projection_v1, its export upcast).
//
//	func init() {
//		upcast.OnEvent(func(ev gnomon.Event, out *upcast.Out) error {
//			if ev.Type() != "customer.named" {
//				return out.Keep()
//			}
//			name, err := ev.String("name")
//			if err != nil {
//				return err
//			}
//			first, last, _ := strings.Cut(name, " ")
//			return out.JSON(ev.Subject(), customer{First: first, Last: last}, "ce-type", "customer.named.v2")
//		})
//	}
//
//	func main() {}
//
// An event may become none, one or several. What it becomes must depend on the event and
// the settings alone: there is no state, and variables of the program are a cache that
// may vanish between any two events. It is built as a projection is; the configuration
// names it in an [[upcaster]].
package upcast
