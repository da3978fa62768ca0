package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// keptModules are the modules that ran, by their digests: what a generation beside the
// newest one runs may be in no other place any more.
type keptModules struct{ dir string }

func (k keptModules) path(digest string) string { return filepath.Join(k.dir, digest+".wasm") }

// put keeps a module. It is on disk, whole, when put returns.
func (k keptModules) put(digest string, module []byte) error {
	if _, err := k.get(digest); err == nil {
		return nil
	}
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return fmt.Errorf("keep module %.12s: %w", digest, err)
	}
	f, err := os.CreateTemp(k.dir, "new-")
	if err != nil {
		return fmt.Errorf("keep module %.12s: %w", digest, err)
	}
	_, err = f.Write(module)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), k.path(digest))
	}
	if err != nil {
		return fmt.Errorf("keep module %.12s: %w", digest, errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// get returns a module that was kept, if its bytes are still those.
func (k keptModules) get(digest string) ([]byte, error) {
	b, err := os.ReadFile(k.path(digest))
	if err != nil {
		return nil, fmt.Errorf("module %.12s was not kept: %w", digest, err)
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != digest {
		return nil, fmt.Errorf("%s does not hold module %.12s any more: remove it", k.path(digest), digest)
	}
	return b, nil
}

// sweep removes the modules that are not needed, and what a crash left.
func (k keptModules) sweep(needed map[string]bool) error {
	files, err := os.ReadDir(k.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, f := range files {
		if digest, ok := strings.CutSuffix(f.Name(), ".wasm"); !ok || !needed[digest] {
			err = errors.Join(err, os.Remove(filepath.Join(k.dir, f.Name())))
		}
	}
	return err
}
