package migrate

//go:wasmexport migrate
func exportMigrate(from int32) int32 { return migrate(from) }
