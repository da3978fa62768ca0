package store

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"gnomon/engine/state"
)

// The environment of a child process: what it does, and where.
const (
	childRole = "GNOMON_STORE_TEST_CHILD"
	childDir  = "GNOMON_STORE_TEST_DIR"

	childAddress = "127.0.0.1:7780" // that it says it serves on
)

// childMain is the main function of a child process. It returns the exit code.
func childMain(role string) int {
	d, err := OpenDir(os.Getenv(childDir), quiet())
	if err == nil {
		err = d.ServeAt(childAddress)
	}
	if err == nil {
		fmt.Println("ready")
		switch role {
		case "hold": // until it is killed
			_, err = bufio.NewReader(os.Stdin).ReadByte()
		case "commit":
			err = commitForEver(d)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// commitForEver commits one change of the history after the other and prints the
// sequence of each when it is acknowledged.
func commitForEver(d *Dir) error {
	ctx := context.Background()
	ks, err := d.Open(ctx, "p", "g", true)
	if err != nil {
		return err
	}
	for n, m := uint64(1), (model{}); ; n++ {
		writes := m.change(historyAt(n))
		c := state.Commit{Checkpoint: m.checkpoint(state.VersionAt(n)), Writes: writes}
		if _, err := ks.Commit(ctx, c); err != nil {
			return err
		}
		fmt.Println(n)
		if n%syncEvery == 0 {
			if _, err := ks.Sync(ctx); err != nil {
				return err
			}
		}
	}
}

const syncEvery = 16 // commits

// historyAt is what the commit at a sequence changes: a counter, a key of its
// own, a deletion, and now and then a value in several parts.
func historyAt(n uint64) map[string][]byte {
	c := map[string][]byte{
		"count":                           strconv.AppendUint(nil, n, 10),
		fmt.Sprintf("event/%06d", n):      pattern(int(n), int(n%700)),
		fmt.Sprintf("event/%06d", n-n%97): nil,
	}
	if n%20 == 0 {
		c["large"] = pattern(int(n), chunkSize+int(n)*1000)
	}
	return c
}

// between is what the commits from one sequence to another change together.
func between(from, to uint64) map[string][]byte {
	changes := map[string][]byte{}
	for i := from; i <= to; i++ {
		maps.Copy(changes, historyAt(i))
	}
	return changes
}

// history is the state after the first n commits.
func history(n uint64) model {
	m := model{}
	for i := uint64(1); i <= n; i++ {
		m.change(historyAt(i))
	}
	return m
}

// child is this test binary run once more, on a data directory.
type child struct {
	*exec.Cmd
	lines *bufio.Scanner
}

// startChild starts a child and waits until it has its data directory.
func startChild(t *testing.T, role, dir string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childRole+"="+role, childDir+"="+dir)
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil { // open as long as this process lives
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{Cmd: cmd, lines: bufio.NewScanner(out)}
	t.Cleanup(func() { c.kill() })
	if !c.lines.Scan() || c.lines.Text() != "ready" {
		t.Fatalf("child said %q, not that it is ready", c.lines.Text())
	}
	return c
}

// kill kills the child with SIGKILL and returns the last number that it printed; 0
// when it printed none. What it printed before it died counts, read or not.
func (c *child) kill() (last uint64) {
	_ = c.Process.Kill()
	for c.lines.Scan() {
		last, _ = strconv.ParseUint(c.lines.Text(), 10, 64)
	}
	_ = c.Wait()
	return last
}

// A process that is killed in the midst of commits loses none that it
// acknowledged, and what is found afterwards is the state of one commit, whole.
func TestKilledProcess(t *testing.T) {
	for _, acknowledged := range []int{1, 7, 45, 160} {
		t.Run(strconv.Itoa(acknowledged), func(t *testing.T) {
			dir := t.TempDir()
			c := startChild(t, "commit", dir)
			for range acknowledged {
				if !c.lines.Scan() {
					t.Fatal("child ended by itself")
				}
			}
			last := max(c.kill(), uint64(acknowledged))

			ks := openKeyspaceOf(t, openDir(t, dir))
			ck, err := ks.Latest()
			if err != nil || ck.Version.Sequence() < last || ck.Version.Sequence() > last+1 {
				t.Fatalf("latest is at %d, %v; acknowledged was %d", ck.Version.Sequence(), err, last)
			}
			n := ck.Version.Sequence()
			requireState(t, ks, ck.Version, history(n))
			if _, err := Verify(ks); err != nil {
				t.Fatal(err)
			}
			if d := ks.Durable().Sequence(); d > n || d+syncEvery < n-n%syncEvery {
				t.Errorf("durable is %d at %d, synced every %d", d, n, syncEvery)
			}
		})
	}
}

// A keyspace goes on after a kill where it stood, and a second kill does not
// take anything back that was committed since the first one.
func TestKilledTwice(t *testing.T) {
	dir := t.TempDir()
	c := startChild(t, "commit", dir)
	for range 30 {
		c.lines.Scan()
	}
	c.kill()

	killed := copyTree(t, dir) // while the next one has it open
	d := openDir(t, dir)
	ks := openKeyspaceOf(t, d)
	ck, err := ks.Latest()
	if err != nil {
		t.Fatal(err)
	}
	m, n := history(ck.Version.Sequence()), ck.Version.Sequence()
	for i := n + 1; i <= n+20; i++ {
		m.commit(t, ks, i, historyAt(i))
	}
	again := copyTree(t, dir) // as a kill would leave it: nothing was closed

	requireLatest(t, openKeyspaceOf(t, openDir(t, killed)), n)
	reopened := openKeyspaceOf(t, openDir(t, again))
	requireState(t, reopened, requireLatest(t, reopened, n+20).Version, m)
}
