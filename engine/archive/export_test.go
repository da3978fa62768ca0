package archive

import "bytes"

// Seal makes a file of any manifest, content of rows and counts, with checksums that
// match.
func Seal(manifest, content []byte, counts []Counts) []byte {
	var file bytes.Buffer
	w, err := newBlockWriter(&file)
	if err == nil {
		err = w.head(manifest)
	}
	if err == nil {
		_, err = w.Write(content)
	}
	if err == nil {
		_, err = w.close(Trailer{Steps: counts})
	}
	if err != nil {
		panic(err)
	}
	return file.Bytes()
}

// Bounds of a row.
const (
	MaxKey   = maxKey
	MaxValue = maxValue
)
