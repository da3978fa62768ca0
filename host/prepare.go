package host

import "encoding/binary"

// forCompiler returns what the compiler is given of a module that passed Inspect.
//
// No table's maximum is above the limit, in entries, so that table.grow answers -1 beyond
// it: wazero has no limit of its own, and fuel bounds only what one call adds. Tables must
// start within the limit.
//
// Custom sections are left out. They change nothing of what a module does, and wazero
// believes the counts in the one of names: twenty bytes can claim a hundred gigabytes.
//
// Segments of data are joined, unless code may name them: instances start faster.
func forCompiler(module []byte, tableLimit uint64) []byte {
	out := append(make([]byte, 0, len(module)+16), module[:8]...)
	r := &reader{b: module[8:]}
	named := false // segments of data, by instructions
	for len(r.b) > 0 {
		id := r.byte()
		body := r.bytes(r.u32())
		switch id {
		case sectionCustom:
			continue
		case sectionTable:
			body = boundedTables(body, tableLimit)
		case sectionDataCount:
			named = true
		case sectionData:
			if !named {
				body = joinedSegments(body)
			}
		}
		out = append(binary.AppendUvarint(append(out, id), uint64(len(body))), body...)
	}
	return out
}
