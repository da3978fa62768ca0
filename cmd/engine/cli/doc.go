// Package cli is what the commands of engine share: exit codes, errors with hints, text that a terminal may
// have, progress, and how a running engine is reached (cobra).
package cli
