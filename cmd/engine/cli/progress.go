package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// Progress shows how far long work is: a bar on a terminal, a line now and then
// elsewhere. Its methods may be called from any goroutine.
type Progress interface {
	Set(n int64)
	Finish()
}

// IsTerminal reports whether something is written for a person to see.
func IsTerminal(w io.Writer) bool {
	if o, kept := w.(*output); kept {
		w = o.w
	}
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// NewProgress shows work on so many things; total is -1 when that is not known.
func NewProgress(w io.Writer, what string, total int64) Progress {
	if !IsTerminal(w) {
		return &progressLines{w: w, what: what, total: total, began: time.Now(), last: time.Now()}
	}
	return &progressBar{progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(),
		progressbar.OptionShowIts(),
		progressbar.OptionSetItsString("events"),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionFullWidth(),
		progressbar.OptionClearOnFinish(),
	)}
}

type progressBar struct{ bar *progressbar.ProgressBar }

func (p *progressBar) Set(n int64) { _ = p.bar.Set64(n) }
func (p *progressBar) Finish()     { _ = p.bar.Finish() }

// lineEvery is how often progress is written where there is no terminal.
const lineEvery = 5 * time.Second

type progressLines struct {
	w     io.Writer
	what  string
	total int64
	began time.Time

	mu   sync.Mutex
	last time.Time // of the last line
	n    int64
}

func (p *progressLines) Set(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n = n
	if time.Since(p.last) >= lineEvery {
		p.last = time.Now()
		p.print()
	}
}

func (p *progressLines) Finish() {}

func (p *progressLines) print() {
	rate := float64(p.n) / time.Since(p.began).Seconds()
	if p.total < 0 {
		fmt.Fprintf(p.w, "%s: %d events, %.0f events/s\n", p.what, p.n, rate)
		return
	}
	left := "unknown"
	if rate > 0 {
		left = time.Duration(float64(p.total-p.n) / rate * float64(time.Second)).Round(time.Second).String()
	}
	fmt.Fprintf(p.w, "%s: %d of %d events, %.0f events/s, %s left\n", p.what, p.n, p.total, rate, left)
}

// Wait returns false when ctx ends before a time has passed.
func Wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
