package store

import (
	"os"
	"path/filepath"
	"testing"
)

// A keyspace whose making was cut short, at any point, is an empty one.
func TestMakingCutShort(t *testing.T) {
	for name, missing := range map[string][]string{
		"before the identity": {"db", identityFile},
		"before the database": {"db"},
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir()
			d := openDir(t, path)
			dir := keyspaceDir(path, "p", "g")
			if _, err := d.create(dir, "p", "g"); err != nil {
				t.Fatal(err)
			}
			for _, file := range missing {
				if err := os.Remove(filepath.Join(dir, file)); err != nil {
					t.Fatal(err)
				}
			}
			k, err := d.Open(t.Context(), "p", "g", true)
			if err != nil {
				t.Fatal(err)
			}
			if err := k.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
