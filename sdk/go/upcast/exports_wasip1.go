package upcast

//go:wasmexport upcast
func exportUpcast() int32 { return upcast() }
