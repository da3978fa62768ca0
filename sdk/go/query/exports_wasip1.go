package query

//go:wasmexport query
func exportQuery() int32 { return query() }
