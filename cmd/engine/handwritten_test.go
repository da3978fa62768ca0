package main

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// handWritten is a whole module, typed in from the contract alone (docs/ABI.md): it
// counts the events of each subject, as eight bytes, little-endian. Its buffer holds
// only a few events, so that the host must cut batches to it.
const handWritten = `
00 61 73 6d 01 00 00 00                           ; \0asm, version 1

01 13 03                                          ; three types
   60 02 7f 7f 01 7f                              ;   0: (i32, i32) -> i32
   60 04 7f 7f 7f 7f 01 7f                        ;   1: (i32, i32, i32, i32) -> i32
   60 00 01 7f                                    ;   2: () -> i32

02 50 03                                          ; three imports of projection_v1
   0d 70 72 6f 6a 65 63 74 69 6f 6e 5f 76 31
   0a 62 61 74 63 68 5f 72 65 61 64 00 00         ;   0: batch_read(buf, cap)
   0d 70 72 6f 6a 65 63 74 69 6f 6e 5f 76 31
   09 73 74 61 74 65 5f 67 65 74 00 01            ;   1: state_get(k, klen, buf, cap)
   0d 70 72 6f 6a 65 63 74 69 6f 6e 5f 76 31
   09 73 74 61 74 65 5f 70 75 74 00 01            ;   2: state_put(k, klen, v, vlen)

03 02 01 02                                       ; one function, 3, of type 2
05 03 01 00 01                                    ; one memory, of one page

07 12 02                                          ; two exports
   06 6d 65 6d 6f 72 79 02 00                     ;   memory
   05 61 70 70 6c 79 00 03                        ;   apply

0a 7b 01 79                                       ; one body
   01 02 7f                                       ;   locals: record, end
   41 80 08 41 80 20 10 00 22 01                  ;   end = batch_read(1024, 4096)
   41 80 20 4b 04 40 41 01 0f 0b                  ;   if end > 4096, unsigned { return 1 }: an error, or too large
   41 80 08 21 00                                 ;   record = 1024
   20 01 41 80 08 6a 21 01                        ;   end += 1024
   03 40 20 00 20 01 49 04 40                     ;   while record < end {
      41 00 42 00 37 03 00                        ;     count at 0 = 0, which stays when there is none
      20 00 41 28 6a 20 00 28 02 18               ;     subject: record + 40, of the length at record + 24
      41 00 41 08 10 01 1a                        ;     state_get(subject, length, 0, 8)
      41 00 41 00 29 03 00 42 01 7c 37 03 00      ;     count += 1
      20 00 41 28 6a 20 00 28 02 18               ;     subject, length
      41 00 41 08 10 02 04 40 41 02 0f 0b         ;     if state_put(subject, length, 0, 8) != 0 { return 2 }
      20 00 20 00 28 02 00 6a 21 00               ;     record += size, at record
   0c 01 0b 0b                                    ;   }
   41 00 0b                                       ;   return 0
`

// A module that was typed in byte by byte from the contract, without any toolchain or
// SDK, runs unchanged, and counts what is in the log.
func TestHandWrittenModule(t *testing.T) {
	module := assemble(t, handWritten)
	t.Logf("%d bytes", len(module))
	h := newHome(t, "gitlog.>", projection("by-hand", "by-hand.wasm"))
	modules := filepath.Join(h.dir, "modules")
	if err := os.Mkdir(modules, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(modules, "by-hand.wasm"), module, 0o600); err != nil {
		t.Fatal(err)
	}
	h.useModules(modules)
	log := filepath.Join(h.dir, "log.jsonl")
	if err := os.WriteFile(log, firstLines(t, logFile(t, "gitlog"), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	h.importLog(log)
	h.runOnce()
	if got, want := h.scan("by-hand"), subjectCounts(t, log); !maps.Equal(got, want) {
		t.Error(firstDifference(got, want))
	}
}

// assemble turns commented hex into bytes.
func assemble(t *testing.T, text string) []byte {
	t.Helper()
	var digits strings.Builder
	for line := range strings.Lines(text) {
		code, _, _ := strings.Cut(line, ";")
		digits.WriteString(strings.Join(strings.Fields(code), ""))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// useModules replaces the folder of modules in the configuration.
func (h *home) useModules(dir string) {
	h.t.Helper()
	b, err := os.ReadFile(h.config)
	if err != nil {
		h.t.Fatal(err)
	}
	text := strings.Replace(string(b), fmt.Sprintf("dir = %q", exampleModules(h.t)), fmt.Sprintf("dir = %q", dir), 1)
	if err := os.WriteFile(h.config, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// subjectCounts is what the module must find: the number of lines of each subject, as
// eight bytes.
func subjectCounts(t *testing.T, log string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]uint64{}
	for text := range bytes.Lines(b) {
		var line struct{ Subject string }
		if err := json.Unmarshal(text, &line); err != nil {
			t.Fatal(err)
		}
		counts[line.Subject]++
	}
	rows := map[string]string{}
	for subject, n := range counts {
		rows[subject] = string(binary.LittleEndian.AppendUint64(nil, n))
	}
	return rows
}
