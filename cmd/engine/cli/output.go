package cli

import (
	"fmt"
	"gnomon/engine/query/wire"
	"io"
	"sync"
)

// output is what a command prints to. It keeps the first error, for commands that print many
// lines and look at none: what was not written must not pass for done.
type output struct {
	w io.Writer

	mu  sync.Mutex
	err error
}

// keepWriter wraps what a command prints to.
func keepWriter(w io.Writer) *output { return &output{w: w} }

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = err
	}
	return n, err
}

// lost is the error for what could not be written; nil: everything was.
func (o *output) lost() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		return nil
	}
	return WithHint(fmt.Errorf("write what is printed: %w", o.err), "what was printed is not complete: see to the disk or the program that it goes to, and run the command again")
}

// PrintJSON prints a value as one line.
func PrintJSON(w io.Writer, v any) error {
	b, err := wire.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}
