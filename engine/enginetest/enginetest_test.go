package enginetest_test

import (
	"testing"

	"gnomon/engine/enginetest"
	"gnomon/engine/state"
)

// The fakes keep the contracts that the real adapters keep.
func TestFakes(t *testing.T) {
	t.Run("Keyspace", func(t *testing.T) {
		enginetest.TestKeyspace(t, func(*testing.T) func() state.Keyspace {
			ks := enginetest.NewKeyspace()
			return func() state.Keyspace { return ks }
		})
	})
	t.Run("Importer", func(t *testing.T) {
		enginetest.TestImporter(t, func(*testing.T) enginetest.ImportingStore { return new(enginetest.Store) })
	})
	t.Run("Source", func(t *testing.T) {
		enginetest.TestSource(t, func(*testing.T) enginetest.Backend { return new(enginetest.Server) })
	})
	t.Run("Outlet", func(t *testing.T) {
		enginetest.TestOutlet(t, func(*testing.T) enginetest.OutletBackend {
			s := new(enginetest.Server)
			return struct {
				*enginetest.Server
				*enginetest.Outlet
			}{s, enginetest.NewOutlet(s)}
		})
	})
}
