package store

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// A data directory on a network file system is used, and the log says at the start what may
// go wrong there; of a local disk it says nothing.
func TestNetworkFileSystem(t *testing.T) {
	real := fileSystem
	t.Cleanup(func() { fileSystem = real })
	for _, c := range []struct {
		number uint32
		name   string
	}{
		{0x6969, "NFS"}, {0xFF534D42, "CIFS"}, {0xFE534D42, "SMB2"}, {0x01021997, "9P"},
		{0xEF53, ""},     // ext4
		{0x58465342, ""}, // XFS
		{0x01021994, ""}, // tmpfs
		{0x794C7630, ""}, // overlayfs
		{0x65735546, ""}, // FUSE, which is anything
	} {
		fileSystem = func(string) (uint32, error) { return c.number, nil }
		var log bytes.Buffer
		dir := t.TempDir()
		d, err := OpenDir(dir, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		said := log.String()
		switch {
		case c.name == "" && said != "":
			t.Errorf("of file system %#x the log says %s", c.number, said)
		case c.name != "" && !(strings.Count(said, "\n") == 1 && strings.Contains(said, "file_system="+c.name) && strings.Contains(said, dir)):
			t.Errorf("of file system %#x the log says %q", c.number, said)
		}
	}
	if number, err := real(t.TempDir()); err != nil || number == 0 {
		t.Errorf("the file system of a temporary directory is %#x, %v", number, err)
	}
}
