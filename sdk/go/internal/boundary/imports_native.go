//go:build !wasip1

package boundary

// Host is what a module imports. Buffers are valid during a call.
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
}

// Exports is what a module exports. An export that is nil is not there.
type Exports struct {
	Init, Apply, Snapshot, Restore func() int32
}

var (
	// Guest is the projection that is linked into this program. Packages of the
	// SDK set it when they are initialised.
	Guest Exports
	// Current is the host under which Guest runs, set by the one who calls it.
	Current Host
)

func host() Host {
	if Current == nil {
		panic("gnomon: there is no host here: run the projection in a module, or in a test with gnomontest.Run")
	}
	return Current
}

// The functions of the contract, see imports_wasip1.go.

func BatchRead(buf []byte) int32              { return host().BatchRead(buf) }
func StateGet(key string, buf []byte) int32   { return host().StateGet(key, buf) }
func StatePut(key string, value []byte) int32 { return host().StatePut(key, value) }
func StateDelete(key string) int32            { return host().StateDelete(key) }
func StateScan(prefix, after string, limit uint32, buf []byte) int64 {
	return host().StateScan(prefix, after, limit, buf)
}
func Emit(event uint32, subject string, headers, data []byte) int32 {
	return host().Emit(event, subject, headers, data)
}
func ConfigRead(buf []byte) int32   { return host().ConfigRead(buf) }
func Log(level int32, line string)  { host().Log(level, line) }
func LogEnabled(level int32) int32  { return host().LogEnabled(level) }
func Fail(event int32, text string) { host().Fail(event, text) }
func BlobWrite(blob []byte) int32   { return host().BlobWrite(blob) }
func BlobRead(buf []byte) int32     { return host().BlobRead(buf) }
