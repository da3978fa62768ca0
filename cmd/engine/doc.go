// Command engine runs event-sourcing projections, written in any language that
// compiles to WebAssembly, over NATS JetStream. With the packages below it, which are
// commands of their own and what all commands share (cli), it is what imports everything:
// flags, wiring, and one file for each subcommand.
//
// # Files
//
// A subcommand is in the file of its name; a group of them, such as dead-letters, in one that is
// named after what they are about (letters). What outgrows its file goes to others that begin with
// the same word: doctor_nats of engine doctor. X_unix and X_other are what systems differ in.
//
// The rest is shared:
//
//	main, complete, man             the program, its completion and manual
//	connect, reads, moment, past, httpsink   commands that ask a running engine, or read its files
//	node, run                       an engine: all parts, wired, started and ended in order
//	declarations, kept              from modules and settings to what the domain is told
//	loglevel, guestlogs, profiles, traces   what an engine tells of itself
//	access, append, archives, around, arrive, bundle, card, mirrors, upcasters   wiring of one part each
//	dev, record                     what commands in packages below are handed
//
// Tests that run the program as a person does are scripts in testdata/script; X_kill_test.go kills
// engines, faults_X_test.go takes away what they need, X_rig_test.go has what several tests share.
package main
