package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/dgraph-io/badger/v4"

	"gnomon/engine/state"
)

// chunkSize is the largest part of a value in one row. Larger rows would leave
// the tree for the value log, which frees space late and needs a collector.
const chunkSize = 256 << 10 // bytes

// Kinds of a table's row.
const (
	kindInline  = 0 // payload: the value
	kindChunked = 1 // payload: u32 size of the value; its parts are in chunk rows
)

// memoryPrefix begins the keys of the rows of memory snapshots.
const memoryPrefix = 'b'

const rowHeader = 5 // kind, CRC-32C

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var checkpointKey = []byte("m")

// space is a kind of rows that have keys and values of any size: the first byte of
// the keys of its rows, and of the rows with the parts of large values.
type space struct{ row, chunk byte }

var (
	states  = space{'s', 'c'}
	letters = space{'l', 'd'}
	outbox  = space{'e', 'f'} // emitted events
)

func (t space) key(key []byte) []byte { return append([]byte{t.row}, key...) }

func (t space) chunkKey(key []byte, index int) []byte {
	k := make([]byte, 0, 1+len(key)+4)
	k = append(append(k, t.chunk), key...)
	return binary.BigEndian.AppendUint32(k, uint32(index))
}

func memoryKey(v state.Version, index int) []byte {
	k := binary.BigEndian.AppendUint64([]byte{memoryPrefix}, uint64(v))
	return binary.BigEndian.AppendUint32(k, uint32(index))
}

// chunks is the number of chunk rows of a value with a given size.
func chunks(size int) int {
	if size <= chunkSize {
		return 0
	}
	return (size + chunkSize - 1) / chunkSize
}

// seal makes a row of a kind and payload, with a checksum over them and the key:
// neither Badger's own checks nor the disk's tell a wrong row reliably.
func seal(key []byte, kind byte, payload []byte) []byte {
	row := make([]byte, rowHeader, rowHeader+len(payload))
	row[0] = kind
	binary.LittleEndian.PutUint32(row[1:], checksum(key, kind, payload))
	return append(row, payload...)
}

// open returns the payload of a row, which aliases it.
func open(key, row []byte) (kind byte, payload []byte, err error) {
	if len(row) < rowHeader {
		return 0, nil, damaged(key, "row of %d bytes", len(row))
	}
	kind, payload = row[0], row[rowHeader:]
	if checksum(key, kind, payload) != binary.LittleEndian.Uint32(row[1:]) {
		return 0, nil, damaged(key, "checksum does not match")
	}
	return kind, payload, nil
}

func checksum(key []byte, kind byte, payload []byte) uint32 {
	c := crc32.Update(0, castagnoli, key)
	c = crc32.Update(c, castagnoli, []byte{kind})
	return crc32.Update(c, castagnoli, payload)
}

func damaged(key []byte, format string, args ...any) error {
	const shown = 80
	name := fmt.Sprintf("%q", key[:min(len(key), shown)])
	return fmt.Errorf("row %s: %s: %w", name, fmt.Sprintf(format, args...), state.ErrCorrupt)
}

// rowWriter is a transaction or a batch.
type rowWriter interface {
	Set(key, row []byte) error
	Delete(key []byte) error
}

// put writes a key's value, in one row or in parts, and removes the parts of
// a longer value that it replaces.
func (t space) put(tx rowWriter, key, value []byte, oldSize int) error {
	row := t.key(key)
	n := chunks(len(value))
	if n == 0 {
		if err := tx.Set(row, seal(row, kindInline, value)); err != nil {
			return err
		}
		return t.dropChunks(tx, key, 0, chunks(oldSize))
	}
	size := binary.LittleEndian.AppendUint32(nil, uint32(len(value)))
	if err := tx.Set(row, seal(row, kindChunked, size)); err != nil {
		return err
	}
	for i := range n {
		part := value[i*chunkSize : min((i+1)*chunkSize, len(value))]
		k := t.chunkKey(key, i)
		if err := tx.Set(k, seal(k, kindInline, part)); err != nil {
			return err
		}
	}
	return t.dropChunks(tx, key, n, chunks(oldSize))
}

func (t space) delete(tx rowWriter, key []byte, oldSize int) error {
	if err := tx.Delete(t.key(key)); err != nil {
		return err
	}
	return t.dropChunks(tx, key, 0, chunks(oldSize))
}

func (t space) dropChunks(tx rowWriter, key []byte, from, to int) error {
	for i := from; i < to; i++ {
		if err := tx.Delete(t.chunkKey(key, i)); err != nil {
			return err
		}
	}
	return nil
}

// read appends the value that a row stands for to dst. Key is the
// user's key.
func (t space) read(tx *badger.Txn, dst, key, row []byte) ([]byte, error) {
	kind, payload, err := open(t.key(key), row)
	if err != nil {
		return nil, err
	}
	if kind == kindInline {
		return append(dst, payload...), nil
	}
	if len(payload) != 4 {
		return nil, damaged(key, "kind %d with %d bytes", kind, len(payload))
	}
	size := int(binary.LittleEndian.Uint32(payload))
	for i := range chunks(size) {
		if dst, err = appendRow(tx, dst, t.chunkKey(key, i)); err != nil {
			return nil, err
		}
	}
	if len(dst) != size {
		return nil, damaged(key, "parts of %d bytes for a value of %d", len(dst), size)
	}
	return dst, nil
}

// appendRow appends the payload of a row that must exist.
func appendRow(tx *badger.Txn, dst, key []byte) ([]byte, error) {
	item, err := tx.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, damaged(key, "part is missing")
	}
	if err != nil {
		return nil, fmt.Errorf("read row: %w", err)
	}
	err = item.Value(func(row []byte) error {
		_, payload, err := open(key, row)
		dst = append(dst, payload...)
		return err
	})
	return dst, err
}
