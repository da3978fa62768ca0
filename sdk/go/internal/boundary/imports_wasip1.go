package boundary

import "unsafe"

// The host keeps no pointer beyond a call, so what they point to may stay on the
// stack. The linker leaves out the imports that nothing calls: a module asks its
// host for what it uses.

//go:wasmimport projection_v1 batch_read
//go:noescape
func batchRead(buf unsafe.Pointer, capacity uint32) int32

//go:wasmimport projection_v1 state_get
//go:noescape
func stateGet(key string, buf unsafe.Pointer, capacity uint32) int32

//go:wasmimport projection_v1 state_put
//go:noescape
func statePut(key string, value unsafe.Pointer, length uint32) int32

//go:wasmimport projection_v1 state_delete
//go:noescape
func stateDelete(key string) int32

//go:wasmimport projection_v1 state_scan
//go:noescape
func stateScan(prefix, after string, limit uint32, buf unsafe.Pointer, capacity uint32) int64

//go:wasmimport projection_v1 emit
//go:noescape
func emit(event uint32, subject string, headers unsafe.Pointer, hlen uint32, data unsafe.Pointer, dlen uint32) int32

//go:wasmimport projection_v1 config_read
//go:noescape
func configRead(buf unsafe.Pointer, capacity uint32) int32

//go:wasmimport projection_v1 log
//go:noescape
func log(level int32, line string)

//go:wasmimport projection_v1 log_enabled
//go:noescape
func logEnabled(level int32) int32

//go:wasmimport projection_v1 fail
//go:noescape
func fail(event int32, text string)

//go:wasmimport projection_v1 blob_write
//go:noescape
func blobWrite(blob unsafe.Pointer, length uint32) int32

//go:wasmimport projection_v1 blob_read
//go:noescape
func blobRead(buf unsafe.Pointer, capacity uint32) int32

//go:wasmimport projection_v1 input_read
//go:noescape
func inputRead(buf unsafe.Pointer, capacity uint32) int32

//go:wasmimport projection_v1 output_write
//go:noescape
func outputWrite(records unsafe.Pointer, length uint32) int32

//go:wasmimport projection_v1_json fields_declare
//go:noescape
func fieldsDeclare(names unsafe.Pointer, length uint32) int32

//go:wasmimport projection_v1_json fields_read
//go:noescape
func fieldsRead(buf unsafe.Pointer, capacity uint32) int32

func pointer(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }

// BatchRead returns the length of the batch, and copies it when it fits.
func BatchRead(buf []byte) int32 { return batchRead(pointer(buf), uint32(len(buf))) }

// StateGet returns the length of a value, and copies it when it fits.
func StateGet(key string, buf []byte) int32 { return stateGet(key, pointer(buf), uint32(len(buf))) }

// StatePut stages a write.
func StatePut(key string, value []byte) int32 {
	return statePut(key, pointer(value), uint32(len(value)))
}

// StateDelete stages a removal.
func StateDelete(key string) int32 { return stateDelete(key) }

// StateScan fills buf with entries and returns count << 32 | bytes, or a code.
func StateScan(prefix, after string, limit uint32, buf []byte) int64 {
	return stateScan(prefix, after, limit, pointer(buf), uint32(len(buf)))
}

// Emit stages an event that is to be published after the commit.
func Emit(event uint32, subject string, headers, data []byte) int32 {
	return emit(event, subject, pointer(headers), uint32(len(headers)), pointer(data), uint32(len(data)))
}

// ConfigRead returns the length of the settings, and copies them when they fit.
func ConfigRead(buf []byte) int32 { return configRead(pointer(buf), uint32(len(buf))) }

// Log writes a line.
func Log(level int32, line string) { log(level, line) }

// LogEnabled is 1 when such a line would be kept.
func LogEnabled(level int32) int32 { return logEnabled(level) }

// Fail says what went wrong, and with which event of the batch.
func Fail(event int32, text string) { fail(event, text) }

// BlobWrite adds a blob to a snapshot.
func BlobWrite(blob []byte) int32 { return blobWrite(pointer(blob), uint32(len(blob))) }

// BlobRead returns the length of the next blob, and copies it when it fits.
func BlobRead(buf []byte) int32 { return blobRead(pointer(buf), uint32(len(buf))) }

// InputRead returns the length of an upcaster's input, and copies it when it fits.
func InputRead(buf []byte) int32 { return inputRead(pointer(buf), uint32(len(buf))) }

// OutputWrite adds records to an upcaster's output.
func OutputWrite(records []byte) int32 { return outputWrite(pointer(records), uint32(len(records))) }

// FieldsDeclare says which fields of JSON data FieldsRead is to give.
func FieldsDeclare(names []byte) int32 { return fieldsDeclare(pointer(names), uint32(len(names))) }

// FieldsRead returns the length of the table of the batch's fields, and copies it
// when it fits.
func FieldsRead(buf []byte) int32 { return fieldsRead(pointer(buf), uint32(len(buf))) }
