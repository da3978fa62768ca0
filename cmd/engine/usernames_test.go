package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// buildExample builds a program of an example and returns its path.
func buildExample(t *testing.T, folder string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	c := exec.Command("go", "build", "-o", path, ".")
	c.Dir = filepath.Join("../../examples/wasm-projections", folder)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", folder, err, out)
	}
	return path
}

// Of two hundred clients that claim fifty names at once over HTTP fifty win, one for each name; every
// loser is told who has it; and the projection, read with the winner's sequence, says the same.
func TestTwoHundredClaimFiftyNames(t *testing.T) {
	const clients, names = 200, 50
	race := buildExample(t, "unique-usernames/race")
	h := newHome(t, "users.>", projection("unique-usernames", "unique-usernames.wasm"))
	p := h.serve()
	c := exec.CommandContext(t.Context(), race, "-server", p.url(), "-stream", "LOG", "-clients", fmt.Sprint(clients), "-names", fmt.Sprint(names))
	out, err := c.Output()
	if err != nil {
		t.Fatalf("race: %v\n%s", err, out)
	}
	type outcome struct {
		Client, Name, Owner string
		Won                 bool
		Seq                 uint64
	}
	var all []outcome
	owners := map[string]string{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var o outcome
		if err := d.Decode(&o); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, o)
		if o.Won {
			if owners[o.Name] != "" {
				t.Errorf("%s and %s won %s", owners[o.Name], o.Client, o.Name)
			}
			owners[o.Name] = o.Client
		}
	}
	if len(all) != clients || len(owners) != names {
		t.Fatalf("%d clients, %d names with an owner", len(all), len(owners))
	}
	for _, o := range all {
		if o.Owner != owners[o.Name] || o.Won != (o.Owner == o.Client) || o.Seq == 0 {
			t.Errorf("%+v, but %s has the name", o, owners[o.Name])
		}
		if !o.Won {
			continue
		}
		status, body := httpGet(t, fmt.Sprintf("%s/v1/projections/unique-usernames/state/name%%09%s?min_seq=%d", p.url(), o.Name, o.Seq))
		if want := fmt.Sprintf(`"value":{"owner":%q,"seq":%d}`, o.Client, o.Seq); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s, want %s", o.Name, status, body, want)
		}
	}
}

func httpGet(t *testing.T, url string) (status int, body string) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}
