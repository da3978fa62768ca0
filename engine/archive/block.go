package archive

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/zstd"
)

const (
	magic       = "\x89gnar\r\n\x1a"
	headSize    = len(magic) + 8
	maxManifest = 4 << 20                // bytes
	blockSize   = 1 << 20                // bytes of content, at most
	maxPacked   = blockSize + (64 << 10) // what does not compress grows a little

	rowsBlock    = 'R'
	trailerBlock = 'E'
	blockHead    = 9 // bytes
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// blockSum is the checksum of a block: blocks in another order do not match.
func blockSum(index uint64, head, packed []byte) uint32 {
	sum := crc32.Update(0, castagnoli, binary.LittleEndian.AppendUint64(nil, index))
	sum = crc32.Update(sum, castagnoli, head)
	return crc32.Update(sum, castagnoli, packed)
}

// blockWriter writes a stream of bytes as blocks.
type blockWriter struct {
	w      io.Writer
	zip    *zstd.Encoder
	sum    hash.Hash // of what was written
	size   int64     // of what was written
	index  uint64    // of the next block
	raw    []byte    // of the next block
	packed []byte    // buffer
}

func newBlockWriter(w io.Writer) (*blockWriter, error) {
	// One goroutine: an export runs beside projections. A block has a checksum already.
	zip, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(blockSize), zstd.WithEncoderCRC(false))
	return &blockWriter{w: w, zip: zip, sum: sha256.New()}, err
}

func (w *blockWriter) write(b []byte) error {
	n, err := w.w.Write(b)
	w.sum.Write(b[:n])
	w.size += int64(n)
	return err
}

func (w *blockWriter) head(manifest []byte) error {
	b := binary.LittleEndian.AppendUint32([]byte(magic), Format)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(manifest)))
	b = append(b, manifest...)
	return w.write(binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)))
}

// Write implements io.Writer.
func (w *blockWriter) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		part := min(len(b), blockSize-len(w.raw))
		w.raw, b = append(w.raw, b[:part]...), b[part:]
		if len(w.raw) == blockSize {
			if err := w.flush(); err != nil {
				return n - len(b), err
			}
		}
	}
	return n, nil
}

func (w *blockWriter) flush() error {
	if len(w.raw) == 0 {
		return nil
	}
	w.packed = w.zip.EncodeAll(w.raw, w.packed[:0])
	err := w.block(rowsBlock, len(w.raw), w.packed)
	w.raw = w.raw[:0]
	return err
}

func (w *blockWriter) block(kind byte, size int, packed []byte) error {
	head := binary.LittleEndian.AppendUint32([]byte{kind}, uint32(size))
	head = binary.LittleEndian.AppendUint32(head, uint32(len(packed)))
	sum := blockSum(w.index, head, packed)
	w.index++
	return errors.Join(w.write(head), w.write(packed), w.write(binary.LittleEndian.AppendUint32(nil, sum)))
}

// close writes what is left, and the trailer.
func (w *blockWriter) close(t Trailer) (Trailer, error) {
	if err := w.flush(); err != nil {
		return t, err
	}
	t.SHA256 = hex.EncodeToString(w.sum.Sum(nil))
	b, err := json.Marshal(t)
	if err != nil {
		return t, err
	}
	return t, w.block(trailerBlock, len(b), b)
}

// blockReader reads the stream of bytes that is in blocks. It never has more than a
// block in memory.
type blockReader struct {
	r       *bufio.Reader
	zip     *zstd.Decoder
	sum     hash.Hash // of what was read
	index   uint64    // of the next block
	left    []byte    // of the block under way
	raw     []byte    // buffer of left
	packed  []byte    // buffer
	trailer *Trailer  // once it was read
}

func newBlockReader(r io.Reader) (*blockReader, error) {
	zip, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(blockSize), zstd.WithDecoderMaxWindow(blockSize), zstd.WithDecodeAllCapLimit(true))
	return &blockReader{r: bufio.NewReaderSize(r, 64<<10), zip: zip, sum: sha256.New()}, err
}

// read fills a slice.
func (r *blockReader) read(b []byte, what string) error {
	_, err := io.ReadFull(r.r, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return damaged("it ends within %s", what)
	}
	if err != nil {
		return fmt.Errorf("read archive: %w", err)
	}
	return nil
}

// head reads the manifest.
func (r *blockReader) head() ([]byte, error) {
	b := make([]byte, headSize)
	if n, err := io.ReadFull(r.r, b); err != nil || string(b[:len(magic)]) != magic {
		switch ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF); {
		case err != nil && !ended:
			return nil, fmt.Errorf("read archive: %w", err)
		case ended && n > 0 && string(b[:min(n, len(magic))]) == magic[:min(n, len(magic))]:
			return nil, damaged("it ends after %d bytes", n)
		}
		return nil, fmt.Errorf("%w: it does not begin as one", ErrFormat)
	}
	format, size := binary.LittleEndian.Uint32(b[len(magic):]), binary.LittleEndian.Uint32(b[len(magic)+4:])
	if format != Format {
		return nil, fmt.Errorf("%w: it is of format %d, and this engine reads %d: use the engine that wrote it, or a newer one", ErrFormat, format, Format)
	}
	if size > maxManifest {
		return nil, damaged("its manifest has %d bytes, more than %d", size, maxManifest)
	}
	rest := make([]byte, size+4)
	if err := r.read(rest, "the manifest"); err != nil {
		return nil, err
	}
	b = append(b, rest...)
	end := len(b) - 4
	if crc32.Checksum(b[:end], castagnoli) != binary.LittleEndian.Uint32(b[end:]) {
		return nil, damaged("the checksum of its manifest does not match")
	}
	r.sum.Write(b)
	return b[headSize:end], nil
}

// next reads a block. After the trailer it fails with io.EOF.
func (r *blockReader) next() error {
	if r.trailer != nil {
		return io.EOF
	}
	var head [blockHead]byte
	if err := r.read(head[:], fmt.Sprintf("block %d, before its trailer", r.index)); err != nil {
		return err
	}
	size, packed := binary.LittleEndian.Uint32(head[1:]), binary.LittleEndian.Uint32(head[5:])
	if size > blockSize || packed > maxPacked || head[0] != rowsBlock && head[0] != trailerBlock {
		return damaged("block %d has kind %d and %d bytes, packed %d: the limits are %d and %d", r.index, head[0], size, packed, blockSize, maxPacked)
	}
	if need := int(packed) + 4; cap(r.packed) < need {
		r.packed = make([]byte, need)
	}
	b := r.packed[:packed+4]
	if err := r.read(b, fmt.Sprintf("block %d", r.index)); err != nil {
		return err
	}
	content := b[:packed]
	if blockSum(r.index, head[:], content) != binary.LittleEndian.Uint32(b[packed:]) {
		return damaged("the checksum of block %d does not match", r.index)
	}
	r.index++
	if head[0] == trailerBlock {
		return r.end(content)
	}
	r.sum.Write(head[:])
	r.sum.Write(b)
	if cap(r.raw) < int(size) {
		r.raw = make([]byte, 0, size)
	}
	raw, err := r.zip.DecodeAll(content, r.raw[:0]) // never into more than there is room for
	if err != nil || len(raw) != int(size) || size == 0 {
		return damaged("block %d unpacks to %d bytes and not %d: %v", r.index-1, len(raw), size, err)
	}
	r.left = raw
	return nil
}

// end reads the trailer, which is the last of the file.
func (r *blockReader) end(content []byte) error {
	var t Trailer
	if err := json.Unmarshal(content, &t); err != nil {
		return damaged("its trailer: %w", err)
	}
	if sum := hex.EncodeToString(r.sum.Sum(nil)); sum != t.SHA256 {
		return damaged("its SHA-256 is %s, and the trailer says %.64s", sum, t.SHA256)
	}
	if _, err := r.r.ReadByte(); err == nil {
		return damaged("something follows its trailer")
	} else if !errors.Is(err, io.EOF) {
		return fmt.Errorf("read archive: %w", err)
	}
	r.trailer = &t
	return io.EOF
}

// more makes sure that there is a byte to read.
func (r *blockReader) more() error {
	for len(r.left) == 0 {
		if err := r.next(); err != nil {
			return err
		}
	}
	return nil
}

// ReadByte implements io.ByteReader.
func (r *blockReader) ReadByte() (byte, error) {
	if err := r.more(); err != nil {
		return 0, err
	}
	b := r.left[0]
	r.left = r.left[1:]
	return b, nil
}

// appendTo appends the next n bytes to a slice, which grows as they come.
func (r *blockReader) appendTo(b []byte, n int) ([]byte, error) {
	for n > 0 {
		if err := r.more(); err != nil {
			return b, err
		}
		part := min(n, len(r.left))
		b, r.left, n = append(b, r.left[:part]...), r.left[part:], n-part
	}
	return b, nil
}
