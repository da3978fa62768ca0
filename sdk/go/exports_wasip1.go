package gnomon

// What the host calls. Exports are there in every module that links this
// package, so snapshot and restore are in package memory.

//go:wasmexport init
func exportInit() int32 { return initialize() }

//go:wasmexport apply
func exportApply() int32 { return apply() }
