// Package trial has the commands that run modules in the sandbox without an engine: attach, check, test and
// replay-bundle, and record, which writes the events to test them with.
package trial
