package archive_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"gnomon/engine/archive"
	"gnomon/engine/enginetest"
)

var update = flag.Bool("update", false, "write the kept archive anew")

// The kept archive, and what it is read as.
const (
	keptArchive = "testdata/format1.gnar"
	keptFacts   = "testdata/format1.txt"
)

// An archive that an earlier build wrote, of format 1, is read as it was written, and can
// be imported.
func TestKeptFormat(t *testing.T) {
	if *update {
		if err := os.WriteFile(keptArchive, small(t), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(keptArchive)
	if err != nil {
		t.Fatal(err)
	}
	r, err := archive.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := json.MarshalIndent(r.Manifest(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%s\n%s\n", manifest, strings.Join(rowsOf(t, file), "\n"))
	if *update {
		if err := os.WriteFile(keptFacts, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(keptFacts)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("read is\n%s\nwant\n%s", got, want)
	}
	mustLoad(t, new(enginetest.Store), file)
	mustLoad(t, dir(t, t.TempDir()), file)
}
