package js_test

import (
	"testing"

	"gnomon/host"
	"gnomon/sdk/js"
)

// Whatever a script is, it is refused, or becomes a module that keeps the contract.
func FuzzAttach(f *testing.F) {
	for _, script := range []string{
		"export function onEvent() {}",
		"export function onEvent() { emit() }\nexport const query = 1; export { a as snapshot, b as restore",
		"fromAll().when({})",
		"\xff", "",
	} {
		f.Add([]byte(script), "a.js")
	}
	f.Fuzz(func(t *testing.T, script []byte, name string) {
		module, err := js.Attach(script, js.Options{Name: name})
		if err != nil {
			return
		}
		if _, err := testHost.Check(module, host.Limits{}); err != nil {
			t.Errorf("%q is attached, and %v", script, err)
		}
	})
}
