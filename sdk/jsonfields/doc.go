// Package jsonfields reads single fields of JSON objects, fast, and lays those of a
// whole batch out in a table that a guest can use. Host and SDK share it, so that an
// event has the same fields in a sandbox, in a native test and in the host.
package jsonfields
