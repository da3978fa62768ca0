package config

import (
	"strings"
	"testing"
)

// Whatever is wrong with a configuration, no secret that is in it shows in the mistake.
func TestSecretsDoNotShow(t *testing.T) {
	const secret = "hunter2hunter2"
	env := func(name string) (string, bool) { return secret, name == "SECRET" }
	for _, text := range []string{
		"[nats]\nurl = \"alice:" + secret + "@host\"",
		"[nats]\nurl = [\"nats://alice:" + secret + "@host\"]",
		"[nats]\nurl = \"nats://alice:" + secret + "@host\"\ncontext = \"x\"",
		"[nats]\npassword = [\"" + secret + "\"]",
		"[nats]\npassword = {x = \"" + secret + "\"}",
		"[nats]\npassword = \"" + secret + "\nuser = \"x\"",
		"[nats]\npassword = " + secret,
		"[nats]\npassword = \"" + secret + "\" x",
		"[nats]\npassword = \"${SECRET}${NONE}\"",
		"[nats]\npassword = \"" + secret + "${\"",
		"[nats]\ntoken = [\"${SECRET}\"]",
		"[nats]\ntoken = \"" + secret + "\"\nuser = \"x\"\nurl = \"nats://x\"",
		"[nats]\nuser = \"x\"\npassword = \"" + secret + "\"",
		"[nats]\npassword = \"\"\"" + secret + "\n",
	} {
		if _, err := Parse("c.toml", []byte(text), env); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
