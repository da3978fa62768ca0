package cli

import (
	"errors"
	"fmt"
	"io"
)

// Exit codes of every command.
const (
	ExitDone    = 0
	ExitFailed  = 1
	ExitUsage   = 2
	ExitDiffers = 3
)

// differsError is an error of something that is not as the user expected it.
type differsError struct{ error }

func (e *differsError) Unwrap() error { return e.error }

// Differs makes an error of what is not as the user expected it: the exit code says so.
func Differs(err error) error { return &differsError{err} }

// ExitCode is the exit code of a command that ended with an error; nil: it did not.
func ExitCode(err error) int {
	var usage *usageError
	var differs *differsError
	switch {
	case err == nil:
		return ExitDone
	case errors.As(err, &usage):
		return ExitUsage
	case errors.As(err, &differs):
		return ExitDiffers
	}
	return ExitFailed
}

// hinted is an error with the way out of it.
type hinted struct {
	error
	hint string
}

func (h *hinted) Unwrap() error { return h.error }

// WithHint adds a way out to an error.
func WithHint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &hinted{err, fmt.Sprintf(format, args...)}
}

// PrintError prints an error in one line, and below it what to do.
func PrintError(w io.Writer, err error) {
	fmt.Fprintf(w, "engine: %s\n", ReadableText([]byte(err.Error()))) // which may have the words of a guest
	var usage *usageError
	var h *hinted
	switch {
	case errors.As(err, &usage):
		fmt.Fprintf(w, "hint: see %s --help\n", usage.command)
	case errors.As(err, &h):
		fmt.Fprintf(w, "hint: %s\n", h.hint)
	}
}
