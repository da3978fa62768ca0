//go:build !wasip1

package boundary

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
func ConfigRead(buf []byte) int32      { return host().ConfigRead(buf) }
func Log(level int32, line string)     { host().Log(level, line) }
func LogEnabled(level int32) int32     { return host().LogEnabled(level) }
func Fail(event int32, text string)    { host().Fail(event, text) }
func BlobWrite(blob []byte) int32      { return host().BlobWrite(blob) }
func BlobRead(buf []byte) int32        { return host().BlobRead(buf) }
func InputRead(buf []byte) int32       { return host().InputRead(buf) }
func OutputWrite(records []byte) int32 { return host().OutputWrite(records) }

// The functions of the group for JSON.

func FieldsDeclare(names []byte) int32 { return host().FieldsDeclare(names) }
func FieldsRead(buf []byte) int32      { return host().FieldsRead(buf) }
