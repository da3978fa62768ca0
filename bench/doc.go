// Command bench compares the engine with programs that do the same without it, side
// by side in one run: each contender is a process of its own, they take turns, and
// what is reported are ratios.
//
// Every contender does the same work: it reads a file-backed stream of a server in
// another process from its first event to its last, finds the fields account and
// amount in each event's JSON, keeps the balance of each account, and has balances
// and position on disk, synced, when it stops the clock. A contender that gets
// another sum of all balances than the seed says has failed.
//
// What turns cannot tell, such as latency and memory, are measurements: each a process
// of its own that starts the engine's binary, and what loads it, as further processes.
//
// Files: suite.go runs it all; contend.go and measure.go list what there is to run, and
// run it; goals.go and results.go judge and report.
package main
