// Package fuel rewrites WebAssembly modules so that executing them is metered: an
// exported global counts down, and the guest traps when it is below zero. It works on
// bytes alone and knows no runtime. ReadFloats reads code for something else: floats whose
// bits may differ between processors.
//
// # What is charged
//
// An instruction costs 1 and so does entering a function; block, loop, else, end, nop,
// drop, return and unreachable cost nothing. These are the weights of Wasmtime's fuel
// (docs.wasmtime.dev, Config::consume_fuel), but that every function is entered at 1.
// In addition:
//
//	call of an imported function, by its index   64
//	memory.fill, memory.copy, memory.init        bytes / 64
//	memory.grow                                  pages × 1024, which is bytes / 64
//	table.fill, table.copy, table.init           entries / 8
//	table.grow                                   entries
//
// The size is that of the operand, unsigned and rounded down, whether or not the
// operation succeeds. It is charged before the operation, with 64 bits, so that none
// that the budget does not cover runs. Functions of the host cost what they charge
// themselves (Meter.Charge): their work is bounded by nothing here.
//
// # Where it is charged
//
// Code that runs as a whole once its first instruction does is charged at its start:
// a body of a function up to the first branch, and on behind blocks that no path
// leaves but by their end. What lies behind a branch or a label is charged by itself,
// or, when it is small, together with code that all paths to it pass, in the same
// loop, whether it runs or not: up to 32 for each place that charges. A loop is charged
// at its head, each time round. So
//
//	instructions executed ≤ fuel ≤ instructions executed + 32 × charges passed
//
// for a call that returns; and as every charge is 1 at least, fuel never is more than
// 33 times the instructions. Measured it is 1.3 times for random programs, 1.6 to 1.8
// for Go guests and 2.5 for a hand-written scan of bytes. A guest that traps has also
// paid for the rest of the code that it was in.
//
// Fuel is a function of module, arguments and what the host returns: the same in every
// instance, on every machine, in the compiler and the interpreter.
//
// # Where it is checked
//
// At the head of every loop, at the entry of every function that calls something or is
// not small (64), unless a loop comes before, behind every charge by size, and wherever
// else more than 16,384 could have run on some path since the last check. So no path
// runs for ever, no tree of calls, and no straight line of a megabyte; what runs beyond
// the budget is less than 32,768, and nothing when the budget was enough. Host
// functions may be called meanwhile.
//
// # Recursion
//
// Depth is not counted: a second counter, down at each entry and up at each exit, cost
// Go guests another 1 to 4 %. Two bounds hold instead. A call costs 2 and the entry of
// what it calls is checked, so a budget bounds depth. And wazero bounds the stack: its
// compiler doubles it until it is larger than 50 MB and then ends the call with "stack
// overflow", which takes 0.04 to 0.15 s, most of it in Go's own code, and leaves 100 to
// 130 MB to the garbage collector; no more than some five million units get there with
// the smallest frames. Its interpreter ends at 2,000 calls within each other. That
// limit is the engine's, not the contract's: fuel is not exhausted then.
//
// # What it costs
//
// A Go module of 3 MB is rewritten in 15 ms and grows by 10 %. Beside the module as it
// was, by BenchmarkMetering: nothing for guests that mostly call the host, 6 to 11 % for
// Go guests, 10 to 20 % for the tightest loop over bytes, by hand. Exact counting
// would cost 12 to 21 and 40 %; charging 1 at entries and loops alone, which bounds
// nothing but how often, still 4 to 12 and 4 %.
package fuel
