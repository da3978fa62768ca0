package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"

	"gnomon/engine/store"
)

// rows sums a state up, for comparing what contenders have on disk. Rows are added in
// the order of their keys.
type rows struct {
	keys int64
	hash hash.Hash
}

func newRows() *rows { return &rows{hash: sha256.New()} }

func (r *rows) add(key, value []byte) {
	var sizes [8]byte
	binary.LittleEndian.PutUint32(sizes[:], uint32(len(key)))
	binary.LittleEndian.PutUint32(sizes[4:], uint32(len(value)))
	r.hash.Write(sizes[:])
	r.hash.Write(key)
	r.hash.Write(value)
	r.keys++
}

func (r *rows) digest() string { return hex.EncodeToString(r.hash.Sum(nil)) }

// stored calls fn for every row that an engine has left on disk, in key order. The
// clock has been stopped by then: contenders are not timed while they are checked.
func stored(ctx context.Context, dir, projection string, fn func(key, value []byte)) (err error) {
	d, err := store.OpenDir(dir, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	live := d.Catalog().Projection(projection).Live
	ks, err := d.Open(ctx, projection, live, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ks.Close()) }()
	ck, err := ks.Latest()
	if err != nil {
		return fmt.Errorf("keyspace of %s: %w", projection, err)
	}
	v, err := ks.View(ck.Version)
	if err != nil {
		return err
	}
	defer v.Close()
	return v.Scan(nil, nil, func(key, value []byte) bool { fn(key, value); return true })
}
