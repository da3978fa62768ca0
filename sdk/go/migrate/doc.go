// Package migrate lets a projection take over a state that an older version of it wrote in
// another form: the guest's migrate export (projection_v1). The state is rewritten once, and
// goes on, instead of being built anew from the events.
//
//	func init() {
//		gnomon.OnEvent(handle)
//		migrate.OnSchema(func(from int, st gnomon.State) error {
//			keys, err := st.Keys("account\t")
//			if err != nil {
//				return err
//			}
//			for _, key := range keys {
//				if err := gnomon.Update(st, key, toCents); err != nil {
//					return err
//				}
//			}
//			return nil
//		})
//	}
//
// The engine calls it when the projection is configured with on_change = "swap" and a higher
// schema than the state has; docs/authoring/evolution.md says when that is right. Importing
// this package is what makes a module one that migrates, so a program that imports it must
// call OnSchema. In go test, gnomontest.Options.Older has a run begin with an older state.
package migrate
