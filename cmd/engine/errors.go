package main

import (
	"errors"
	"fmt"
	"io"
)

// Exit codes of every command.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitDiffers = 3
)

// differsError is an error of something that is not as the user expected it.
type differsError struct{ error }

func (e *differsError) Unwrap() error { return e.error }

// differs makes an error of what is not as the user expected it: the exit code says so.
func differs(err error) error { return &differsError{err} }

// exitCodeOf is the exit code of a command that ended with an error; nil: it did not.
func exitCodeOf(err error) int {
	var usage *usageError
	var differs *differsError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &differs):
		return exitDiffers
	}
	return exitFailed
}

// hinted is an error with the way out of it.
type hinted struct {
	error
	hint string
}

func (h *hinted) Unwrap() error { return h.error }

// withHint adds a way out to an error.
func withHint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &hinted{err, fmt.Sprintf(format, args...)}
}

// printError prints an error in one line, and below it what to do.
func printError(w io.Writer, err error) {
	fmt.Fprintf(w, "engine: %s\n", readableText([]byte(err.Error()))) // which may have the words of a guest
	var usage *usageError
	var h *hinted
	switch {
	case errors.As(err, &usage):
		fmt.Fprintf(w, "hint: see %s --help\n", usage.command)
	case errors.As(err, &h):
		fmt.Fprintf(w, "hint: %s\n", h.hint)
	}
}
