package wire

import "encoding/json"

// Module is what is known of the module that a generation runs, and what it runs with.
type Module struct {
	Projection string   `json:"projection"`
	Generation string   `json:"generation"`
	SHA256     string   `json:"sha256"`
	ABI        string   `json:"abi"`              // the contract that it is written against
	Schema     int      `json:"schema,omitempty"` // of the state, as declared; 0: none
	Does       []string `json:"does"`             // what it can: apply, emit, query, migrate, memory, upcast

	File *ModuleFile `json:"file,omitempty"` // absent: its bytes are not at hand

	// Settings are what the guest is given. They are shown to who may change the projection.
	Settings  json.RawMessage  `json:"settings,omitempty"`
	Source    ModuleSource     `json:"source"`
	Upcasters []ModuleUpcaster `json:"upcasters,omitempty"` // in the order in which events pass them
	Limits    ModuleLimits     `json:"limits"`
	Keeps     ModuleKeeps      `json:"keeps"`
	Uses      ModuleUses       `json:"uses"`
}

// ModuleFile is what the bytes of a module say.
type ModuleFile struct {
	Name      string `json:"name"` // as declared
	Bytes     int    `json:"bytes"`
	Language  string `json:"language,omitempty"` // empty: it does not say
	Tools     string `json:"tools,omitempty"`
	Functions int    `json:"functions"`
	Code      int    `json:"code_bytes"`
	Data      int    `json:"data_bytes"`
	Custom    int    `json:"custom_bytes"` // names, debugging information
	Memory    uint64 `json:"memory_bytes"` // at its start
	MaxMemory uint64 `json:"max_memory_bytes,omitempty"`
	Table     uint64 `json:"table_entries"` // of the largest table at its start
	// Signatures says what is made of modules without one: off, warn, require. Signer is the
	// trusted key that signed it; empty: none did, nobody looked, or it was taken before the
	// engine started.
	Signatures string         `json:"signatures"`
	Signer     string         `json:"signer,omitempty"`
	Imports    []ModuleSymbol `json:"imports"`
	Exports    []ModuleSymbol `json:"exports"`
}

// ModuleSymbol is an import or an export.
type ModuleSymbol struct {
	Module string `json:"module,omitempty"` // of an import
	Name   string `json:"name"`
	Kind   string `json:"kind"`           // function, table, memory, global
	Type   string `json:"type,omitempty"` // of a function
}

// ModuleSource says where events come from.
type ModuleSource struct {
	Stream     string   `json:"stream"`
	Subjects   []string `json:"subjects,omitempty"` // none: all
	Start      string   `json:"start"`
	Key        string   `json:"key,omitempty"`
	Partitions int      `json:"partitions"`
	OnError    string   `json:"on_error"`
}

// ModuleUpcaster is an upcaster before the module.
type ModuleUpcaster struct {
	Name     string   `json:"name"`
	SHA256   string   `json:"sha256"`
	Subjects []string `json:"subjects,omitempty"` // none: all
}

// ModuleLimits are the bounds in effect; 0: none.
type ModuleLimits struct {
	Memory      uint64 `json:"memory_bytes"`
	Fuel        uint64 `json:"fuel"` // of one call
	BatchEvents int    `json:"batch_events"`
	BatchBytes  int    `json:"batch_bytes"`
	Keys        int64  `json:"keys"`
	State       int64  `json:"state_bytes"`
	DeadLetters int    `json:"dead_letters"`
	Outbox      int    `json:"outbox"`
	OutboxBytes int    `json:"outbox_bytes"`
}

// ModuleKeeps says what is kept of the past.
type ModuleKeeps struct {
	All            bool   `json:"history_all,omitempty"`
	Events         uint64 `json:"history_sequences"`
	AgeMs          int64  `json:"history_age_ms"`
	Memories       int    `json:"memory_snapshots"`
	MemoryEvents   uint64 `json:"memory_snapshot_events"`
	MemoryEveryMs  int64  `json:"memory_snapshot_every_ms"`
	Pins           int    `json:"snapshots"`
	PinAgeMs       int64  `json:"snapshot_max_age_ms"` // 0: for ever
	KeepPreviousMs int64  `json:"previous_ms"`
	CommitMs       int64  `json:"commit_ms"` // longest time between two commits while catching up
}

// ModuleUses is what it takes at present.
type ModuleUses struct {
	FuelPerEvent uint64 `json:"fuel_per_event"`
	Memory       uint64 `json:"memory_bytes"`
}
