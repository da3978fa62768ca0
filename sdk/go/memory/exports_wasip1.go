package memory

//go:wasmexport snapshot
func exportSnapshot() int32 { return snapshot() }

//go:wasmexport restore
func exportRestore() int32 { return restore() }
