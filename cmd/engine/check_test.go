package main

import (
	"bytes"
	"maps"
	"slices"

	"gnomon/host/conformance"
	"gnomon/internal/testutil/wasmgen"
	"gnomon/sdk/abi"
)

func init() {
	maps.Copy(scriptModules, map[string]func() []byte{
		"table": func() []byte {
			at := bytes.Index(sound, []byte{5, 3, 1, 0, 1}) // the memory's section; that of tables comes before
			return slices.Concat(sound[:at], []byte{4, 6, 1, 0x70, 0}, wasmgen.U32(100_001), sound[at:])
		},
		"floats": func() []byte {
			zero, div, store := []byte{0x44, 0, 0, 0, 0, 0, 0, 0, 0}, []byte{0xa3}, []byte{0x39, 3, 0} // of f64
			m := module(wasmgen.Apply(wasmgen.I32Const(8), zero, zero, div, store, wasmgen.I32Const(0), wasmgen.I32Const(1), wasmgen.I32Const(8), wasmgen.I32Const(8), wasmgen.Call(0)))
			m.Imports, m.Data = []wasmgen.Import{wasmgen.Contract(abi.ImportStatePut)}, []byte("n")
			return m.Bytes()
		},
		"seven": func() []byte {
			m := module(nothing, wasmgen.Func{Export: abi.ExportInit, Results: i32, Code: [][]byte{
				wasmgen.I32Const(0), wasmgen.I32Const(64), wasmgen.Call(0), wasmgen.I32Const(-7), wasmgen.I32Add,
			}})
			m.Imports = []wasmgen.Import{wasmgen.Contract(abi.ImportConfigRead)}
			return m.Bytes()
		},
		"key-length": func() []byte {
			load := []byte{0x28, 2, 0} // of i32
			m := module(wasmgen.Apply(wasmgen.I32Const(64), wasmgen.I32Const(4096), wasmgen.Call(0), wasmgen.Drop, wasmgen.I32Const(64+abi.OffKeyLen), load))
			m.Imports = []wasmgen.Import{wasmgen.Contract(abi.ImportBatchRead)}
			return m.Bytes()
		},
		"several": func() []byte { return conformance.Guest("modules/M11-several") },
		"several-of-c": func() []byte {
			producers := "\x09producers\x01\x08language\x01\x03C11\x00"
			return slices.Concat(conformance.Guest("modules/M11-several"), []byte{0, byte(len(producers))}, []byte(producers))
		},
		"guest-sound":  func() []byte { return conformance.Guest("faults/sound") },
		"guest-hidden": func() []byte { return conformance.Guest("faults/X9-hidden") },
		"guest-buffer": func() []byte { return conformance.Guest("faults/B12-buffer") },
	})
}
