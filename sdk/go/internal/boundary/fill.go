package boundary

// fillUnit is what a buffer of Fill is a multiple of, in bytes.
const fillUnit = 4 << 10

// Fill calls read with buf, and again with a larger buffer when the length that it
// returned did not fit. It returns the buffer and the length in it, or a code.
func Fill(buf []byte, read func(buf []byte) int32) ([]byte, int32) {
	for {
		n := read(buf)
		if n < 0 || int(n) <= len(buf) {
			return buf, n
		}
		// A quarter more, so that a slowly growing answer is not read twice each time.
		want := int(n) + int(n)/4
		buf = make([]byte, (want+fillUnit-1)/fillUnit*fillUnit)
	}
}
