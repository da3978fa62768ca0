package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/query/client"
	"gnomon/engine/store"
	"gnomon/internal/testutil/natstest"
)

// Secrets that are planted in the configuration, the environment and requests show in nothing
// that an engine and its commands print, log, answer or keep.
func TestSecretsDoNotShow(t *testing.T) {
	const password, admin, reader, next = "planted-password-of-nats", "planted-token-of-an-admin", "planted-token-of-a-reader", "planted-token-that-is-new"
	planted := []string{password, admin, reader, next}
	server := natstest.Start(t, natstest.User("gnomon", password, nil))
	h := newHome(t, "log.>", projection("count", "count.wasm"))
	readers := filepath.Join(h.dir, "readers.tokens")
	for file, text := range map[string]string{readers: reader, filepath.Join(h.dir, "admin.token"): admin} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h.replace("[http]\n", "[http]\ntoken_file = \"admin.token\"\n")
	h.configure("", fmt.Sprintf("[nats]\nurl = %q\nuser = \"gnomon\"\npassword = \"${PLANTED}\"\n[[http.token]]\nfile = %q\nrole = \"read\"\n", server.URL(), readers))
	t.Setenv("PLANTED", password)
	t.Setenv("GNOMON_TOKEN", admin)
	var printed bytes.Buffer
	command := func(args ...string) {
		run(t.Context(), args, strings.NewReader(""), &printed, &printed)
	}
	p := h.start()
	base := ""
	p.until("it serves", func() bool {
		base = h.served()
		return base != ""
	})
	if err := os.WriteFile(readers, []byte(reader+"\n"+next+" is no token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"status"}, {"get", "count", "x"}, {"plan", "--config", h.config}, {"reload"}, {"publish", "log.a", "1", "--config", h.config}, {"pause", "count"}, {"history", "count"}} {
		if len(args) < 3 || args[len(args)-2] != "--config" {
			args = append(args, "--server", base)
		}
		command(args...)
	}
	for _, token := range []string{reader, "wrong-" + admin, next} {
		c, err := client.New(base, token)
		if err == nil {
			_, err = c.Act(t.Context(), "count", "pause")
		}
		fmt.Fprintln(&printed, err)
	}
	command("status", "--server", strings.Replace(base, "//", "//me:"+next+"@", 1)+"0000")
	command("status", "--server", "nonsense://me:"+next+"@host")
	t.Setenv("PLANTED", "wrong-"+password)
	command("run", "--once", "--config", h.config)
	command("import", "--stream", "LOG", "--config", h.config, "none.jsonl")
	p.signal(os.Interrupt)
	out, _ := p.wait()
	printed.WriteString(out)
	if text := printed.String(); !strings.Contains(text, "the token does not allow") || !strings.Contains(text, "uthorization") {
		t.Errorf("not everything was refused as it should: %s", text)
	}
	for _, secret := range planted {
		if i := strings.Index(printed.String(), secret); i >= 0 {
			t.Errorf("%s shows: …%s", secret, printed.String()[max(0, i-200):i+len(secret)])
		}
	}
	err := filepath.WalkDir(h.data(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, secret := range planted {
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("%s is in %s", secret, path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// served is the URL of the engine that runs in a home; empty: there is none yet.
func (h *home) served() string {
	holder, _ := store.Running(h.data())
	if holder.HTTP == "" {
		return ""
	}
	return cli.BaseOf(holder)
}
