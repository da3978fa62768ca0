package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Who may over HTTP is checked before anything is opened: each mistake is told with its
// line, and the way out of it.
func TestHTTPMistakes(t *testing.T) {
	dir := t.TempDir()
	main := filepath.Join(dir, "config.toml")
	for _, name := range []string{"token", "other"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("0123456789abcdef"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const public = "listen = \"0.0.0.0:80\"\n"
	for text, want := range map[string]string{
		public:                           "config.toml:2: http.listen is \"0.0.0.0:80\", which others can reach: set http.token_file",
		public + `token_file = "token"`:  "",
		public + `token_file = "nobody"`: "config.toml:3: http.token_file: stat " + filepath.Join(dir, "nobody"),
		public + "[[http.token]]\nfile = \"token\"\nrole = \"read\"\nprojections = [\"eu-*\"]\n[[http.token]]\nfile = \"other\"\nrole = \"admin\"": "",
		"token_file = \"token\"\nproxies = [\"127.0.0.1\", \"::1\", \"10.0.0.0/8\"]":                                                               "",
		"token_file = \"token\"\nproxies = [\"lb.example\"]":                                                                                       "config.toml:3: http.proxies: \"lb.example\" is neither an address nor a network",
		"[[http.token]]\nrole = \"read\"":                                                                                                          "config.toml:2: [[http.token]] names no file",
		"[[http.token]]\nfile = \"none\"\nrole = \"read\"":                                                                                         "config.toml:3: http.token.file: stat " + filepath.Join(dir, "none"),
		"[[http.token]]\nfile = \"token\"":                                                                                                         "config.toml:2: http.token.role is \"\": use one of read, append, admin",
		"[[http.token]]\nfile = \"token\"\nrole = \"writer\"":                                                                                      "config.toml:4: http.token.role is \"writer\": use one of read, append, admin",
		"[[http.token]]\nfile = \"token\"\nrole = \"append\"\nprojections = [\"p\"]":                                                               "config.toml:5: http.token.projections is not for the role append",
		"[[http.token]]\nfile = \"token\"\nrole = \"read\"\nstreams = [\"S\"]":                                                                     "config.toml:5: http.token.streams is not for the role read",
		"[[http.token]]\nfile = \"token\"\nrole = \"read\"\nprojections = []":                                                                      "config.toml:5: http.token.projections is an empty list",
		"[[http.token]]\nfile = \"token\"\nrole = \"read\"\nprojections = [\"[a\"]":                                                                "config.toml:5: http.token.projections: \"[a\" is no pattern of names",
		"[[http.token]]\nfile = \"token\"\nroles = \"read\"":                                                                                       "config.toml:4: unknown key \"http.token.roles\": did you mean \"http.token.role\"?",
	} {
		if err := os.WriteFile(main, []byte("[http]\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(main)
		switch {
		case want == "" && (err != nil || !c.HTTP.Guarded()):
			t.Errorf("%s: %v, %v", text, c, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	if _, err := Load(filepath.Join(dir, "none.toml")); err == nil || !strings.Contains(err.Error(), "does not exist: name it with --config") {
		t.Errorf("error = %v", err)
	}
}
