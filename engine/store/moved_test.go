package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A keyspace that was moved to the place of another is refused, by its own name.
func TestMovedKeyspace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	d, err := OpenDir(path, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	k, err := d.Open(t.Context(), "orders", "1", true)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(path, "projections", "orders"), filepath.Join(path, "projections", "accounts")); err != nil {
		t.Fatal(err)
	}
	_, err = d.Open(t.Context(), "accounts", "1", true)
	if err == nil || !strings.HasPrefix(err.Error(), "open keyspace accounts/1: ") || !strings.Contains(err.Error(), "keyspace of orders/1: move it back") {
		t.Errorf("opened in another place: %v", err)
	}
}
