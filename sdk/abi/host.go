package abi

// Host is the functions of Module and ModuleJSON for a guest that runs natively, in a test: a
// stand-in for the engine. Buffers are valid during a call; results are those of the contract.
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
