package boundary

// Host is what a module imports, for a program that is none. Buffers are valid
// during a call.
type Host interface {
	BatchRead(buf []byte) int32
	StateGet(key string, buf []byte) int32
	StatePut(key string, value []byte) int32
	StateDelete(key string) int32
	StateScan(prefix, after string, limit uint32, buf []byte) int64
	Emit(event uint32, subject string, headers, data []byte) int32
	ConfigRead(buf []byte) int32
	Log(level int32, line string)
	LogEnabled(level int32) int32
	Fail(event int32, text string)
	BlobWrite(blob []byte) int32
	BlobRead(buf []byte) int32
	InputRead(buf []byte) int32
	OutputWrite(records []byte) int32
	FieldsDeclare(names []byte) int32
	FieldsRead(buf []byte) int32
}

// Exports is what a module exports. An export that is nil is not there.
type Exports struct {
	Init, Apply, Snapshot, Restore, Upcast, Query func() int32
}

var (
	// Guest is the projection that is linked into this program. Packages of the
	// SDK set it when they are initialised, but not in a module.
	Guest Exports
	// Current is the host under which Guest runs, set by the one who calls Guest.
	Current Host
)
