package store_test

import (
	"io"
	"log/slog"
	"path/filepath"
	"testing"

	"gnomon/engine/enginetest"
	"gnomon/engine/state"
	"gnomon/engine/store"
)

// A keyspace in Badger keeps the contract.
func TestKeyspaceContract(t *testing.T) {
	enginetest.TestKeyspace(t, func(t *testing.T) func() state.Keyspace {
		dir, err := store.OpenDir(filepath.Join(t.TempDir(), "data"), slog.New(slog.NewTextHandler(io.Discard, nil)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { dir.Close() })
		return func() state.Keyspace {
			ks, err := dir.Open(t.Context(), "p", "g", true)
			if err != nil {
				t.Fatal(err)
			}
			return ks
		}
	})
}

// A data directory keeps the contract of an importer.
func TestImporterContract(t *testing.T) {
	enginetest.TestImporter(t, func(t *testing.T) enginetest.ImportingStore {
		dir, err := store.OpenDir(filepath.Join(t.TempDir(), "data"), slog.New(slog.NewTextHandler(io.Discard, nil)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { dir.Close() })
		return dir
	})
}
