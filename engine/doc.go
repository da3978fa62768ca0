// Package engine is the domain of Gnomon: events of a stream are applied, in
// order, by a projection's module, and what it writes is committed together with
// the position in the stream (standard library only).
//
// It is built on nouns, each in a package of its own below it, which import nothing of it:
//
//	streams   where events come from, and where emitted ones go: Source, Reader, Batch, Outlet
//	guest     the interface to the sandbox: Module, Instance, State
//	state     what is kept of a projection: Store, Keyspace, View, Commit, Checkpoint, Version
//	catalog   what is on record of projections: generations, declarations, changes, snapshots
//	measure   durations, paces, labels of goroutines
//
// A Source yields Batches of events, a Module makes the Instance that applies
// them, a Keyspace keeps what they wrote. The Runner owns one instance and joins
// the three; the Engine owns the runners. Adapters implement the interfaces, importing the
// nouns they need, and never each other; cmd/engine wires them.
//
// # Files
//
// Along the data path, and then what is around it; a test holds that each is named once.
//
// Events in:
//
//	atomic                      events that were published as one
//	follow, passed              reading on, again after a reader was lost; gaps in sequences
//
// A module, and the upcasters before it:
//
//	upcast, spec                upcasters; module and settings of a projection
//	tracing                     what traces tell
//	try                         one event, beside any projection
//
// One generation that is kept in step:
//
//	runner, session, order      who owns an instance; from its start to its end; orders between batches
//	apply, applyupcast          a batch, by the module, after its upcasters
//	plan, mend, recovery        batches in smaller pieces, after a failure; instances and sessions anew
//	partitions                  several instances, by key
//	monitor, measures, behind   what is told of a runner
//
// State, and its commits:
//
//	overlay, overlayscan        what is applied and not committed
//	window, committer           from one cut to the next, and its commit
//	room                        bounds of the disk
//
// Effects, from apply to the target stream:
//
//	emit                        what a module emits, checked, with its headers
//	outbox, outboxroom, outboxtrim   rows that are committed with the state
//	relay                       to the target stream, once
//	emission                    what generations share of it: who may emit from where
//
// State out:
//
//	await, query                reads that wait; requests to the module
//	watch, recent, seen         changes
//
// The past:
//
//	asof, between, explain      a state, a difference, the events of a key
//	replay, replaying, replayall   from a commit, by event; from the first event
//	retention                   how far back is kept
//
// When something fails, and what operators decide:
//
//	aside, orders               events that are set aside
//	history, accept             a stream that is another one
//
// Generations of a projection:
//
//	projection, generation, role   who is read, and who is there
//	declare, rebuild, adopt     how a generation comes, or changes
//	hold, promote               two at one sequence; readers go over
//	leave, retire, precedence   how one goes; the live one comes first
//
// The whole:
//
//	engine, lease, calendar     all projections; who may run one; how old things are
//	record, past                declarations on record, and what happened
//	status                      what is told of everything
//	snapshot, adopted           states that are kept, and that travel
package engine
