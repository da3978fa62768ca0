package abi

// Module is the name of the import module, which is also the version of the
// contract: a second version will have a second name.
const Module = "projection_v1"

// ModuleJSON is the name of the import module for fields of JSON data, an addition to
// Module that a guest need not use.
const ModuleJSON = "projection_v1_json"

// WASI is the import module of the system interface that language runtimes need.
const WASI = "wasi_snapshot_preview1"

// ValueType is the type of a parameter or result, by its byte in the binary format.
type ValueType byte

// The value types that the contract uses.
const (
	I32 ValueType = 0x7f
	I64 ValueType = 0x7e
)

// Func is a function of the contract, imported or exported by a guest.
type Func struct {
	Name            string
	Params, Results []ValueType
}

// Names of the functions that a guest exports.
const (
	ExportMemory     = "memory"
	ExportInitialize = "_initialize"
	ExportApply      = "apply"
	ExportInit       = "init"
	ExportSnapshot   = "snapshot"
	ExportRestore    = "restore"
	ExportQuery      = "query"
	ExportMigrate    = "migrate"
	ExportUpcast     = "upcast"
)

// Names of the functions that a guest imports from Module.
const (
	ImportBatchRead   = "batch_read"
	ImportStateGet    = "state_get"
	ImportStatePut    = "state_put"
	ImportStateDelete = "state_delete"
	ImportStateScan   = "state_scan"
	ImportEmit        = "emit"
	ImportConfigRead  = "config_read"
	ImportLog         = "log"
	ImportLogEnabled  = "log_enabled"
	ImportFail        = "fail"
	ImportBlobWrite   = "blob_write"
	ImportBlobRead    = "blob_read"
	ImportInputRead   = "input_read"
	ImportOutputWrite = "output_write"
)

// Names of the functions that a guest imports from ModuleJSON.
const (
	ImportFieldsDeclare = "fields_declare"
	ImportFieldsRead    = "fields_read"
)

// Exports lists the functions that the host may call.
func Exports() []Func {
	return []Func{
		{ExportInitialize, nil, nil},
		{ExportInit, nil, []ValueType{I32}},
		{ExportApply, nil, []ValueType{I32}},
		{ExportSnapshot, nil, []ValueType{I32}},
		{ExportRestore, nil, []ValueType{I32}},
		{ExportQuery, nil, []ValueType{I32}},
		{ExportMigrate, []ValueType{I32}, []ValueType{I32}},
		{ExportUpcast, nil, []ValueType{I32}},
	}
}

func i(n int) []ValueType {
	t := make([]ValueType, n)
	for k := range t {
		t[k] = I32
	}
	return t
}

// ImportsJSON lists the functions that the host offers in ModuleJSON.
func ImportsJSON() []Func {
	return []Func{
		{ImportFieldsDeclare, i(2), i(1)},
		{ImportFieldsRead, i(2), i(1)},
	}
}

// Imports lists the functions that the host offers in Module.
func Imports() []Func {
	return []Func{
		{ImportBatchRead, i(2), i(1)},
		{ImportStateGet, i(4), i(1)},
		{ImportStatePut, i(4), i(1)},
		{ImportStateDelete, i(2), i(1)},
		{ImportStateScan, i(7), []ValueType{I64}},
		{ImportEmit, i(7), i(1)},
		{ImportConfigRead, i(2), i(1)},
		{ImportLog, i(3), nil},
		{ImportLogEnabled, i(1), i(1)},
		{ImportFail, i(3), nil},
		{ImportBlobWrite, i(2), i(1)},
		{ImportBlobRead, i(2), i(1)},
		{ImportInputRead, i(2), i(1)},
		{ImportOutputWrite, i(2), i(1)},
	}
}

// Result codes. A result of zero or more is success, often a length.
const (
	NotFound    int32 = -1
	TooLarge    int32 = -2
	BadArgument int32 = -3
	ReadOnly    int32 = -4
	OverQuota   int32 = -5
)

// Limits that hold for every projection.
const (
	MaxKey      = 64_000  // bytes; the store's own limit is 65,000
	MaxValue    = 1 << 20 // bytes
	MaxScanPage = 1 << 20 // bytes
	MaxLogLine  = 4 << 10 // bytes; longer lines are cut
	MaxSubject  = 1 << 10 // bytes of an emitted event's subject
	MaxHeaders  = 64 << 10
	MaxFields   = 64       // declared fields
	MaxField    = 1 << 10  // bytes of the name of one
	MaxUpcast   = 16 << 20 // bytes of what one call of upcast writes; see UpcastLimit
	MaxRequest  = 1 << 20  // bytes of a request that query is asked
	MaxAnswer   = 1 << 20  // bytes of what one call of query writes
)

// UpcastLimit is how many bytes of records one call of upcast may write, by the size of
// its input in bytes.
func UpcastLimit(input int) int { return max(MaxUpcast, 2*input) }

// CellSize is the size of a cell of the table of fields, in bytes.
const CellSize = 32

// Levels of the log import, the numbers of log/slog.
const (
	LevelDebug int32 = -4
	LevelInfo  int32 = 0
	LevelWarn  int32 = 4
	LevelError int32 = 8
)
