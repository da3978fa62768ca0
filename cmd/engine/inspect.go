package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/catalog"
	"gnomon/engine/state"
	"gnomon/engine/store"
)

func inspectCommand() *cobra.Command {
	var asJSON, verify bool
	c := &cobra.Command{
		Use:   "inspect DATA_DIR",
		Short: "Print what a data directory holds: keyspaces, positions, sizes, digests",
		Long: `Inspect reads the files of an engine that is not running, and changes none of them.
With --verify it reads every value of every keyspace and compares checksums, counts and digest, as
engine verify does; it exits with 1 when something is damaged.`,
		Example: "  engine inspect data\n  engine inspect --verify data",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			r, err := openFiles(args[0], c.ErrOrStderr())
			var locked *store.LockedError
			if errors.As(err, &locked) {
				return cli.WithHint(locked, "stop it to inspect its files; engine status asks a running one")
			}
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, r.Close()) }()
			all, err := inspect(c.Context(), r.(*files).dir, func(*inspected) bool { return true }, verify)
			if err != nil {
				return err
			}
			if asJSON {
				err = cli.PrintJSON(c.OutOrStdout(), map[string][]inspected{"keyspaces": all})
			} else {
				err = printInspected(c.OutOrStdout(), all)
			}
			return errors.Join(err, damage(all))
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().BoolVar(&verify, "verify", false, "read everything and compare it with what the checkpoints say")
	return c
}

// inspected is what was found of one keyspace.
type inspected struct {
	Projection string             `json:"projection"`
	Generation string             `json:"generation"`
	Live       bool               `json:"live"` // is the one that is read
	Position   state.Position     `json:"position"`
	Durable    uint64             `json:"durable_seq"`
	Keys       int64              `json:"keys"`
	Bytes      int64              `json:"bytes"`
	DiskBytes  int64              `json:"disk_bytes"`
	Digest     state.Digest       `json:"digest"`
	Anchors    []state.Anchor     `json:"anchors"`
	Memories   []state.Memory     `json:"memories"`
	Snapshots  []catalog.Snapshot `json:"snapshots"`
	Verified   bool               `json:"verified,omitempty"`
	Error      string             `json:"error,omitempty"`
}

func (in *inspected) name() string { return in.Projection + "/" + in.Generation }

// inspect reads the keyspaces that are wanted.
func inspect(ctx context.Context, d *store.Offline, wanted func(*inspected) bool, verify bool) ([]inspected, error) {
	all := []inspected{}
	for _, name := range d.Catalog().Names() {
		record := d.Catalog().Projection(name)
		for _, g := range record.Generations {
			if err := ctx.Err(); err != nil {
				return all, err
			}
			in := inspected{Projection: name, Generation: g.ID, Live: g.ID == record.Live}
			if !wanted(&in) {
				continue
			}
			for _, s := range record.Snapshots {
				if s.Generation == g.ID {
					in.Snapshots = append(in.Snapshots, s)
				}
			}
			if err := in.read(ctx, d, verify); err != nil {
				in.Error = err.Error()
			}
			all = append(all, in)
		}
	}
	return all, nil
}

// read fills in what the keyspace says of itself.
func (in *inspected) read(ctx context.Context, d *store.Offline, verify bool) (err error) {
	ks, err := d.Open(ctx, in.Projection, in.Generation, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ks.Close()) }()
	in.Durable, in.DiskBytes = ks.Durable().Sequence(), ks.DiskBytes()
	ck, err := ks.Latest()
	if errors.Is(err, state.ErrNoCheckpoint) {
		return nil
	}
	if err != nil {
		return err
	}
	in.Position, in.Keys, in.Bytes, in.Digest = ck.Position, ck.Keys, ck.Bytes, ck.Digest
	in.Anchors, in.Memories = ck.Anchors, ck.Memories
	if verify {
		_, err = store.Verify(ks)
		in.Verified = err == nil
	}
	return err
}

func damage(all []inspected) error {
	bad := 0
	for _, in := range all {
		if in.Error != "" {
			bad++
		}
	}
	if bad == 0 {
		return nil
	}
	return cli.WithHint(fmt.Errorf("%d of %d keyspaces cannot be read, or are damaged", bad, len(all)),
		"restore the data directory from a copy, or remove the projection's folder in it to have it built again")
}

func printInspected(w io.Writer, all []inspected) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "PROJECTION\tGENERATION\tSTREAM\tPOSITION\tDURABLE\tKEYS\tSTATE\tDISK\tDIGEST")
	for _, in := range all {
		live := ""
		if !in.Live {
			live = " (not read)"
		}
		fmt.Fprintf(t, "%s\t%s%s\t%s\t%d\t%d\t%d\t%s\t%s\t%s\n", in.Projection, in.Generation, live, in.Position.Stream, in.Position.Sequence, in.Durable,
			in.Keys, humanize.IBytes(uint64(in.Bytes)), humanize.IBytes(uint64(in.DiskBytes)), in.Digest)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, in := range all {
		in.printDetails(w)
	}
	return nil
}

func (in *inspected) printDetails(w io.Writer) {
	at := in.name()
	for _, m := range in.Memories {
		fmt.Fprintf(w, "%s: memory snapshot at %d, %s\n", at, m.Version.Sequence(), humanize.IBytes(uint64(m.Bytes)))
	}
	for _, s := range in.Snapshots {
		fmt.Fprintf(w, "%s: snapshot %s at %d, taken %s\n", at, s.Name, s.Sequence, s.Created.Format(time.RFC3339))
	}
	if in.Verified {
		fmt.Fprintf(w, "%s: verified\n", at)
	}
	if in.Error != "" {
		fmt.Fprintf(w, "%s: %s\n", at, in.Error)
	}
}
