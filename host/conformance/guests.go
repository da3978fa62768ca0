package conformance

import (
	"embed"
)

//go:embed guests/*.wasm guests/*/*.wasm
var guests embed.FS

// Guest returns a guest of the kit, assembled, by its name: guests/NAME.wat is its text.
// It panics when there is none.
func Guest(name string) []byte {
	b, err := guests.ReadFile("guests/" + name + ".wasm")
	if err != nil {
		panic("conformance: no guest " + name)
	}
	return b
}
