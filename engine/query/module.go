package query

import (
	"cmp"
	"net/http"

	"gnomon/engine"
	"gnomon/engine/guest"
	"gnomon/engine/query/access"
	"gnomon/engine/query/wire"
	"gnomon/sdk/abi"
)

// Modules read what the bytes of modules say.
type Modules interface {
	// ModuleFile returns that of the module that a spec runs; nil: its bytes are not at hand.
	ModuleFile(spec engine.Spec) (*wire.ModuleFile, error)
}

// moduleCard answers with what is known of the module that a generation runs.
func (s *Server) moduleCard(w http.ResponseWriter, r *http.Request, name string) {
	if !allowed(w, r, http.MethodGet) {
		return
	}
	if _, ok := parameters(w, r); !ok {
		return
	}
	st, err := s.engine.Status(name)
	if err != nil {
		failed(w, err)
		return
	}
	spec, err := s.engine.Spec(name)
	if err != nil {
		failed(w, err)
		return
	}
	card := cardOf(spec, st)
	if rightsOf(r).May(access.Admin, name) { // nobody else was ever shown them
		card.Settings = settingsJSON(spec.Settings)
	}
	if s.modules != nil {
		if card.File, err = s.modules.ModuleFile(spec); err != nil {
			failed(w, err)
			return
		}
	}
	answer(w, http.StatusOK, card)
}

func settingsJSON(b []byte) []byte {
	if !wire.IsJSON(b) {
		return []byte("{}")
	}
	return b
}

// cardOf is what a spec says of its module, and the status of what that uses.
func cardOf(spec engine.Spec, st engine.Status) wire.Module {
	card := wire.Module{
		Projection: st.Projection, Generation: st.Generation, SHA256: spec.Module.Digest(), ABI: abi.Module, Schema: spec.Schema,
		Does: abilities(spec.Module.Traits()),
		Source: wire.ModuleSource{
			Stream: spec.Stream, Subjects: spec.Subjects, Start: spec.Start.String(), Key: spec.Key,
			Partitions: max(1, spec.Partitions), OnError: string(cmp.Or(spec.OnError, engine.Halt)),
		},
		Limits: wire.ModuleLimits{
			Memory: spec.Memory, Fuel: spec.Fuel, BatchEvents: spec.Batch.Events, BatchBytes: spec.Batch.Bytes,
			Keys: spec.Quota.Keys, State: spec.Quota.Bytes, DeadLetters: spec.Letters, Outbox: spec.Outbox.Rows, OutboxBytes: spec.Outbox.Bytes,
		},
		Keeps: wire.ModuleKeeps{
			All: spec.History.All, Events: spec.History.Events, AgeMs: spec.History.Age.Milliseconds(),
			Memories: spec.MemorySnapshots.Keep, MemoryEvents: spec.MemorySnapshots.Events, MemoryEveryMs: spec.MemorySnapshots.Every.Milliseconds(),
			Pins: spec.Pins.Max, PinAgeMs: spec.Pins.MaxAge.Milliseconds(), KeepPreviousMs: spec.KeepPrevious.Milliseconds(), CommitMs: spec.Window.Milliseconds(),
		},
		Uses: wire.ModuleUses{FuelPerEvent: st.Fuel, Memory: st.Memory},
	}
	for i := range spec.Upcasters {
		u := &spec.Upcasters[i]
		card.Upcasters = append(card.Upcasters, wire.ModuleUpcaster{Name: u.Name, SHA256: u.Module.Digest(), Subjects: u.Subjects})
	}
	return card
}

// abilities are what a module can, in words of the contract.
func abilities(t guest.Traits) []string {
	all := []string{}
	for _, a := range []struct {
		has  bool
		name string
	}{{t.Applies, "apply"}, {t.Emits, "emit"}, {t.Queries, "query"}, {t.Migrate, "migrate"}, {t.Memory, "memory"}, {t.Upcasts, "upcast"}} {
		if a.has {
			all = append(all, a.name)
		}
	}
	return all
}
