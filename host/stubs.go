package host

import "gnomon/sdk/abi"

// Stub is a function of the system interface that a module imports and that does not do here
// what its name says.
type Stub struct {
	Function string
	Does     string // what it does here
	Fix      string // what to do instead in the language of the module; empty: see Does
}

// Stubs lists those that a module imports, with what to do in a language.
func (b *Binary) Stubs(language string) (list []Stub) {
	for _, i := range b.Imports {
		if does, ok := stubbed[i.Name]; ok && i.Module == abi.WASI {
			list = append(list, Stub{i.Name, does, stubFixes[i.Name][language]})
		}
	}
	return list
}

// stubFixes are what to do instead, by function and language. Runtimes import some of these
// whether or not a program asks for them.
var stubFixes = map[string]map[string]string{
	"clock_time_get": {
		LanguageGo: "ev.Time() in place of time.Now", LanguageTinyGo: "ev.Time() in place of time.Now", LanguageRust: "the event's time in place of SystemTime and Instant",
		LanguageC: "the event's time in place of time and clock_gettime", LanguageCPlusPlus: "the event's time in place of std::chrono", LanguageAssemblyScript: "the event's time in place of Date.now",
	},
	"random_get": {
		LanguageGo: "nothing of math/rand, crypto/rand or the order of a map; sort keys", LanguageTinyGo: "nothing of math/rand or the order of a map; sort keys",
		LanguageRust: "BTreeMap in place of HashMap where its order shows", LanguageC: "nothing of rand or getentropy", LanguageCPlusPlus: "nothing of std::random_device",
		LanguageAssemblyScript: "nothing of Math.random",
	},
}
