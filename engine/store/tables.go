package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/table"

	"gnomon/engine/state"
)

// checkTables reads the tables of a database that is not open and checks every
// block of theirs against its checksum: Badger takes keys that it does not find in
// a damaged block for absent ones, drops them when it merges tables, and panics on
// some, in a goroutine of its own. Tables that the manifest does not name were not
// finished, and Badger removes them; so that they are not those of a manifest
// that lost its end, one that is cut off is refused after a clean end.
func checkTables(db string, clean bool) error {
	f, err := os.Open(filepath.Join(db, badger.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing was written yet
	}
	if err != nil {
		return err
	}
	defer f.Close()
	m, end, err := badger.ReplayManifestFile(f, 0, dbOptions(db).WithLogger(nil))
	if err != nil {
		return fmt.Errorf("manifest %s: %s: %w", f.Name(), oneLine(err), state.ErrCorrupt)
	}
	if info, err := f.Stat(); err != nil || clean && info.Size() != end {
		return errors.Join(err, fmt.Errorf("manifest %s is cut off after %d bytes: %w", f.Name(), end, state.ErrCorrupt))
	}
	var buf bytes.Buffer
	for _, id := range slices.Sorted(maps.Keys(m.Tables)) {
		if err := checkTable(table.NewFilename(id, db), &buf); err != nil {
			return err
		}
	}
	return nil
}

// checkTable checks one table. Badger's checks panic on some damage.
func checkTable(path string, buf *bytes.Buffer) (err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("table %s is missing: %w", path, state.ErrCorrupt)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	buf.Reset()
	if _, err := buf.ReadFrom(f); err != nil {
		return err
	}
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("table %s: %w", path, state.ErrCorrupt)
		}
	}()
	t, err := table.OpenInMemoryTable(buf.Bytes(), 0, &table.Options{})
	if err == nil {
		err = t.VerifyChecksum()
	}
	if err != nil {
		return fmt.Errorf("table %s: %s: %w", path, oneLine(err), state.ErrCorrupt)
	}
	return nil
}

// oneLine is the text of an error of Badger's, which may have several lines.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
