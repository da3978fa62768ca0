package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gnomon/engine/state"
)

// Format is the version of the layout of a data directory. A build reads its own
// and older ones, and refuses newer ones.
const Format = 1

// identity is what a keyspace is and how much of it is certain to be on disk. It
// stands beside the database, because a database that lost its files opens as an
// empty one and says nothing.
type identity struct {
	Format     int           `json:"format"`
	Engine     string        `json:"engine"` // id of the catalog that it belongs to
	Projection string        `json:"projection"`
	Generation string        `json:"generation"`
	Durable    state.Version `json:"durable"` // every commit up to it is synced; 0: none
	Boot       string        `json:"boot"`    // of the machine that wrote it last
	Run        int           `json:"run"`     // counts the crashes of the machine that it went through
	Clean      bool          `json:"clean"`   // the keyspace was closed, and Durable is its last commit

	Horizon state.Version   `json:"horizon,omitempty"` // versions below it may be gone; 0: not known
	Ends    []state.Version `json:"ends,omitempty"`    // by run: what was durable when the machine crashed
}

// begin begins another run, if the machine crashed since the last one. What that had
// committed, but not synced, is not to be trusted, though it may be there.
func (id *identity) begin() {
	for len(id.Ends) < id.Run { // from before ends were noted
		id.Ends = append(id.Ends, id.Durable)
	}
	if id.machineRan() {
		return
	}
	id.Run++
	id.Ends = append(id.Ends, id.Durable)
}

// wrote reports whether a checkpoint is one of this history: of the run under way, or
// durable when the run that wrote it ended.
func (id identity) wrote(row checkpointRow) bool {
	return row.Run == id.Run || row.Run < len(id.Ends) && row.Version <= id.Ends[row.Run]
}

const identityFile = "keyspace.json"

func readIdentity(dir string) (identity, error) {
	var id identity
	err := readJSON(filepath.Join(dir, identityFile), &id)
	return id, err
}

func (id identity) write(dir string) error { return writeJSON(filepath.Join(dir, identityFile), id) }

// bootID tells one run of the machine from another. Empty: it cannot be told. A
// variable for tests.
var bootID = func() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// machineRan reports whether the machine ran on since the identity was written, so
// that what was committed but not synced still is in the system's cache or on disk.
func (id identity) machineRan() bool { return id.Clean || id.Boot != "" && id.Boot == bootID() }

// readJSON reads a file of ours. What a newer format has in it is not looked at.
func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return fmt.Errorf("%s: %v: %w", path, err, state.ErrCorrupt)
	}
	switch {
	case head.Format > Format:
		return fmt.Errorf("%s is of format %d, this engine knows up to %d: use the newer engine that wrote it", path, head.Format, Format)
	case head.Format < 1:
		return fmt.Errorf("%s does not say its format: %w", path, state.ErrCorrupt)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%s: %v: %w", path, err, state.ErrCorrupt)
	}
	return nil
}

// writeJSON replaces a file by a whole new one that is on disk when it returns.
func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	tmp := path + ".new"
	if err := writeSynced(tmp, append(b, '\n')); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncPath(filepath.Dir(path))
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

// syncPath syncs a file or directory. One that is gone needs no syncing.
func syncPath(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
