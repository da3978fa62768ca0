package main

// groups are the cases, in the order of docs/RELIABILITY.md. Numbers stay as they are: issues
// and commits refer to them.
var groups = []Group{
	{"Crashes and disks", crashes},
	{"JetStream", jetStream},
	{"Modules", modules},
	{"Operation and network", operation},
}

var crashes = []Case{
	{
		Number: 1, What: "`kill -9` at any moment: while catching up, while events keep coming, amid commits and memory snapshots",
		Promise: "The state, and what is set aside, is what the events up to the position make it: none twice, none missing; nothing is lost that was committed; and what is emitted, also while its server is killed, is published once, in order; a bucket that mirrors the state is exact again, and a watch goes on with what it missed. `make soak` kills 500 times.",
		Tests: by(in("cmd/engine", "TestKilledAtAnyMoment", "TestKilledUnderTraffic", "TestKilledWithItsServer", "TestKilledWhileEmitting", "TestServerKilledWhileEmitting", "TestKilledWhileMirroring", "TestWatchOverKilledEngine"), in("engine", "TestSimulation"),
			in("engine/store", "TestKilledProcess", "TestKilledTwice", "TestKilledWhileALogWasCreated", "TestMakingCutShort", "TestCrashAmidLeftovers", "TestWrittenAheadAndLost")),
	},
	{
		Number: 2, What: "Power loss",
		Promise: "Work goes on from the durable position, whose state is exact, whatever newer pages reached the disk.",
		Tests: by(in("engine/store", "TestMachineCrash", "TestMachineCrashBeforeFirstSync", "TestUnknownBoot", "TestTornPages",
			"TestLeftoversOfAnotherHistory", "TestLeftoversAreNotSeen"), in("cmd/engine", "TestPowerLoss")),
	},
	{
		Number: 3, What: "Power loss of engine and server together",
		Promise: "A stream that lost events, or all of itself, is told from the one that was read: `diverged`, with both facts, before anything is applied.",
		Tests:   by(in("cmd/engine", "TestPowerLoss"), in("engine", "TestDivergedStream", "TestTailLostBeforeAppliedAgain"), in("engine/broker", "TestEmbeddedSurvivesReopening")),
	},
	{
		Number: 4, What: "Disk full while running",
		Promise: "Below `disk_reserve` no more events are taken: what was applied is committed and read, the state is `stalled` and says how much room there is; it goes on by itself. When other programs take the reserve too, all at once, no commit is begun that might not fit; an engine that is ended then says so, and leaves what a kill would.",
		Tests:   by(in("engine", "TestDiskReserve"), in("engine/store", "TestNoRoom", "TestRoomIsNotWatched"), in("cmd/engine", "TestDiskFull", "TestDiskTakenAtOnce", "TestDiskFullAtEnd")),
		Open:    "other programs that take the last 24 MiB in the midst of a commit, or while the database merges its tables, can still end the process; the next start finds a state as after a kill.",
	},
	{
		Number: 5, What: "Disk full at the start",
		Promise: "One error that names the directory, the room there is and the room that is needed; nothing is changed.",
		Tests:   in("cmd/engine", "TestDiskFullAtStart"),
	},
	{
		Number: 6, What: "A flipped bit in a table",
		Promise: "An error of that projection alone; reads and scans are never shorter. `engine verify` reads everything, each keyspace in a process of its own.",
		Tests: by(in("engine/store", "TestFlippedBitInTable", "TestFlippedBitInOtherFiles", "TestForgedRows"),
			in("engine", "TestDamagedKeyspace", "TestMemoryDamaged"), in("cmd/engine", "TestScripts/verify")),
	},
	{
		Number: 7, What: "Manifest, tables or the whole database gone",
		Promise: "Refused by the identity file beside the database, which names what is missing; nothing else is removed.",
		Tests:   in("engine/store", "TestLostFiles", "TestCutManifest", "TestReplacedDatabase", "TestMovedKeyspace", "TestUnfinishedTable"),
	},
	{
		Number: 8, What: "The end of the database's log damaged",
		Promise: "An error, or the state of an older commit, after which events are applied again. Never a mixture.",
		Tests:   in("engine/store", "TestFlippedBitInLog"),
	},
	{
		Number: 9, What: "Data directory read-only, of another user, or a file",
		Promise: "An error at the start that names the path. A network file system is used, with a warning in the log: whether it keeps out an engine on another machine is the affair of its server.",
		Tests:   by(in("cmd/engine", "TestUnusableDataDirectory"), in("engine/store", "TestNetworkFileSystem")),
		Open:    "no test runs on a real network file system, and one that is mounted by FUSE is not told from a local disk.",
	},
	{
		Number: 10, What: "Two engines on one data directory",
		Promise: "The second one is refused, and told the first one's process id.",
		Tests: by(in("engine/store", "TestLocked", "TestLockedBySelf", "TestStaleLock", "TestUnknownHolder", "TestReadersShare", "TestAskingDisturbsNobody", "TestTakenOverThisInstant"),
			in("cmd/engine", "TestScripts/node")),
	},
	{
		Number: 11, What: "An older engine opens newer files, or a newer one older files",
		Promise: "Newer files are refused by name and stay as they are; older ones are read as they were written.",
		Tests:   by(in("engine/store", "TestKeptFormat", "TestRefusedFiles"), in("cmd/engine", "TestScripts/upgrade")),
	},
	{
		Number: 12, What: "The clock jumps",
		Promise: "No effect on results: guests have no clock, positions are sequences, and waits are measured by a clock that does not jump. What is kept for a time (`pin_max_age`, `keep_previous`, `history` as a time) is not dropped by a clock of the machine that jumps forward: the log says so, and after an hour in which it stayed so it is believed; one that goes back is believed at once, and what is kept is kept for longer. Certificates and the age of letters are held against the clock as it is. **At a start** the clock is believed: a year without an engine looks the same.",
		Tests:   by(in("engine", "TestSimulation", "TestServerClockJumps", "TestOwnClockJumps"), in("host", "TestGuestHasNoClock")),
	},
}

var jetStream = []Case{
	{
		Number: 13, What: "Server down at the start, for ten minutes, flapping",
		Promise: "The engine starts, serves what it has as `stalled`, tries again ever more slowly, and goes on; the log tells of an outage once.",
		Tests: by(in("engine", "TestServerAway", "TestOutageCommits"),
			in("engine/broker", "TestServerAway", "TestOutageIsToldOnce"), in("engine/ingest", "TestServerStopped"), in("engine/mirror", "TestMirrorWithoutServer"), in("engine/service", "TestReconnects"), in("cmd/engine", "TestServerComesAndGoes", "TestServerAwayAtStart", "TestServedBeforeServerAnswers")),
	},
	{
		Number: 14, What: "Stream missing at the start, created later",
		Promise: "The projection waits, says so, and begins by itself.",
		Tests:   by(in("engine", "TestStreamMissing"), in("engine/ingest", "TestAbsent"), in("cmd/engine", "TestStreamCreatedLater", "TestScripts/interrupt")),
	},
	{
		Number: 15, What: "Purged or trimmed past the position",
		Promise: "`diverged`, with the sequence that was wanted, the first there is, and their difference. A stream trimmed of what was read already is still the same.",
		Tests:   by(in("engine", "TestDivergedStream", "TestTrimmedStream", "TestTrimmedBeforeAppliedAgain", "TestWaysOut", "TestRebuild"), in("cmd/engine", "TestScripts/changed")),
	},
	{
		Number: 16, What: "Stream recreated, shorter or longer than the position",
		Promise: "`diverged`, with both times of creation; what was applied before is still read, but by none that waits for a sequence: it may mean another event.",
		Tests:   by(in("engine", "TestDivergedStream", "TestAwaitOtherHistory"), in("engine/ingest", "TestStreamDeleted", "TestRecreatedWhileReading")),
	},
	{
		Number: 17, What: "An older copy of the server's files restored, and its numbers used again",
		Promise: "`diverged`: the stream holds another event at the position, or ends before it.",
		Tests: by(in("engine/ingest", "TestOlderCopyRestored"),
			in("engine", "TestDivergedStream", "TestTailLostBeforeAppliedAgain"), in("engine/state", "TestAnchorsThinOut", "TestAnchorTellsEventsApart")),
	},
	{
		Number: 18, What: "Events deleted in the middle",
		Promise: "They are passed over, counted, and told from events that were lost at the beginning; `status` says how many the stream lacks.",
		Tests: by(in("engine", "TestDeletedEvents", "TestDeletedBeforeAppliedAgain"), in("engine/streams", "TestMissing", "TestAbsentOfStream"),
			in("engine/ingest", "TestDeletedEvents", "TestSequenceAtDeletedEnd", "TestCaughtUp", "TestPassedOver", "TestTrimmedBeforeFirst"), in("engine/query", "TestMetrics")),
	},
	{
		Number: 19, What: "Retention overtakes a slow reader while it reads",
		Promise: "Noticed where the events are missing, before anything behind them is applied: `diverged`.",
		Tests:   by(in("engine", "TestEventsLostWhileReading"), in("engine/ingest", "TestRetentionOvertakesReader", "TestPurge")),
	},
	{
		Number: 20, What: "Consumer removed: by an operator, for being inactive, by a restart",
		Promise: "It is made again at the next event: none is lost or repeated.",
		Tests:   by(in("engine", "TestReaderLost", "TestSharedReaderLost"), in("engine/ingest", "TestConsumerDeleted", "TestNothingIsLostOrRepeated")),
	},
	{
		Number: 21, What: "Consumer paused by an operator",
		Promise: "A reader that is silent although there is more is called `stalled`, and replaced by a new one, which reads on: a projection is paused by `engine pause`, not by its consumer.",
		Tests:   by(in("engine/ingest", "TestConsumerPaused"), in("engine", "TestStalled", "TestPause"), in("engine/query", "TestStuckProjectionShows")),
	},
	{
		Number: 22, What: "The stream's leader changes again and again, in a cluster of three",
		Promise: "Every event once, in order; and what is emitted to such a stream.",
		Tests:   by(in("engine/ingest", "TestLeaderChanges"), in("engine/broker", "TestOutletLeaderChanges")),
	},
	{
		Number: 23, What: "An event published twice, within the window of the server and after it; an answer that is lost",
		Promise: "What the stream holds is the truth: after the window there are two events. `engine import` leaves out ids that the stream holds, whatever the window. An append that is sent again with its ids, alone or several as one, is answered as what it repeats: within the window, and after it if it expects something.",
		Tests: by(in("engine/ingest", "TestPublishedTwice"), in("engine/importer", "TestRepeated", "TestRepeatedLater"),
			in("engine/broker", "TestPublish", "TestExpectations", "TestExpectationOfAFilter", "TestExpectationsAtOnce", "TestExpectationsOfARetry", "TestExpectationsAfterTheWindow", "TestBatch", "TestPublishInDoubt"), in("cmd/engine", "TestAppendsKilled", "TestAppendsToAServerThatIsKilled")),
	},
	{
		Number: 24, What: "Delete markers, rollups, expiring events, counters and schedules in the stream",
		Promise: "Markers that the server stores where events expired are no events: they are passed over, and counted. What publishers store is: counters with their totals, schedules, and rollups, which remove what was before them as deletes do.",
		Tests:   by(in("engine/ingest", "TestDeleteMarkers", "TestEventThatLooksLikeAMarker", "TestUnusualEvents", "TestPassedOver", "TestMarkersAlone"), in("engine/streams", "TestMissing")),
	},
	{
		Number: 25, What: "A crash in the middle of an atomic batch",
		Promise: "What the publisher did not commit is never seen. What was committed is one run of sequences, and is read as a whole: no commit lies within it, but where to go on is worth more: an event of it that fails, a batch that takes more than a third of what one commit can hold, a disk or an outbox that is full, an order of an operator about events that were set aside. One that lacks its end, such as in a mirror that leaves it out, is read once its stream has nothing more, another batch follows, or 10,000 events have come.",
		Tests:   by(in("engine/ingest", "TestAtomicBatch", "TestAtomicBatchesAreReadWhole"), in("engine", "TestAtomicBatchesAreReadWhole", "TestBatchWithoutEnd", "TestBatchesWithoutEnds", "TestFullCommitsBetweenAtomicBatches", "TestCommitsAmidAnAtomicBatch", "TestSimulation")),
	},
	{
		Number: 26, What: "Work-queue and interest streams, or one that keeps the last events of a subject",
		Promise: "Refused at the start, with the reason and the way out.",
		Tests:   in("engine/ingest", "TestUnusableStreams"),
	},
	{
		Number: 27, What: "Filters that overlap, are malformed, or match nothing of the stream; bad names of streams",
		Promise: "A mistake in the configuration, with its file and line, before anything is made. Where the stream is not declared there, a warning in `status` and the log that it takes no subject that a filter matches.",
		Tests: by(in("cmd/engine", "TestScripts/config"), in("engine/config", "TestMistakes"), in("engine/streams", "TestFiltersOverlap", "TestCheckSubject", "TestOutside"),
			in("engine/ingest", "TestStatusOfStream")),
	},
	{
		Number: 28, What: "Events that are huge, empty, binary, or JSON that is none",
		Promise: "They reach the module byte for byte. A key that JSON does not have is empty; a field that it does not have is an error only for the module that asks.",
		Tests: by(in("engine/ingest", "TestEventsAreExact", "TestExtremeEvents", "TestEventThatLooksLikeAStatus", "TestEventLargerThanOnePull"), in("engine", "TestSmallBuffer"), in("engine/fields", "TestKey", "FuzzJSONKey"),
			in("sdk/jsonfields", "TestKinds", "TestBrokenJSONIsRefused", "TestLastOfFieldsCounts", "FuzzFields"), in("engine/importer", "TestLargestEvent")),
	},
	{
		Number: 29, What: "A permission is missing",
		Promise: "The error names the subject, and what to add to the permissions; the documented ones are enough.",
		Tests:   by(in("engine/broker", "TestPermissionIsExplained"), in("engine/ingest", "TestLeastPermissions"), in("engine/mirror", "TestMirrorPermissions"), in("cmd/engine", "TestDocumentedPermissions", "TestMissingPermissions")),
	},
	{
		Number: 30, What: "Credentials wrong, removed or replaced; a certificate that is not trusted or has expired",
		Promise: "Wrong ones are an error at once, with no secret in it; a file that was replaced is read again at the next connection.",
		Tests:   in("engine/broker", "TestCredentials", "TestCredentialsReplaced", "TestCertificateExpired", "TestSecretInURL", "TestUnreadableCredentials", "TestTLSRefused"),
	},
	{
		Number: 31, What: "A mirror or a sourced stream as the input",
		Promise: "Read as any other: a mirror with the numbers of its origin, a sourced stream in the order in which events arrived. `status` says where the events come from, and that their order is another one when a stream of several sources is built again.",
		Tests:   by(in("engine/ingest", "TestMirror", "TestSourcedStream", "TestStatusOfStream"), in("cmd/engine/cli", "TestStatusOfStream", "TestStatusOfStreamJSON")),
	},
}

var modules = []Case{
	{
		Number: 32, What: "Modules made to harm: claims of four billion entries, slow to compile, endless",
		Promise: "Refused by a check of their bytes before the compiler sees them, or by a process that compiles and starts them under limits; the compiler is given no custom sections; tables end at `limits.table`, calls that do not end run out of fuel. `make soak` tries a million mutated modules.",
		Tests: by(in("host/fuel", "TestEndlessGuestsAreStopped", "TestCallTreesAreStopped", "TestOperationsCostByTheirSize", "TestMutations"), in("host", "TestFuelRunsOut", "TestHostileModules", "TestEndlessRecursionInStart", "TestMutatedModules", "TestRefused", "TestTrialLimits", "TestTrialRefuses", "TestMemoryLimit", "TestMisbehaviour", "TestLongNumbers",
			"TestClaims", "TestTableLimit", "TestEachTableIsBounded", "TestTableRefused", "TestTableGrowCosts", "TestNoExecutableMemory")),
	},
	{
		Number: 33, What: "An event that the module fails at",
		Promise: "`on_error` decides: `halted` right before it, with the module's words and everything before it committed; or passed over, or set aside, and on record either way.",
		Tests:   by(in("engine", "TestHaltsAtTheEvent", "TestSkipOfHalted", "TestTriesAgainAfterAPause", "TestPolicies", "TestOrders", "TestQuarantineSurvives", "TestLetterLimit"), in("cmd/engine", "TestScripts/letters")),
	},
	{
		Number: 34, What: "Endless loops and calls, a gigabyte of state, a million keys in one event",
		Promise: "An error of that event, the same at every try, which names the limit, the value and the setting: fuel, the size of a commit, keys and bytes of the state.",
		Tests: by(in("host", "TestFuelRunsOut", "TestFuelIsDeterministic", "TestMemoryLimit", "TestTableLimit", "TestSnapshotLimit", "TestHostWorkCosts"),
			in("engine", "TestOutOfFuel", "TestQuota", "TestCommitLimit", "TestOverlayIsBounded", "TestEndlessCall", "TestPartitionsShareTheCommit")),
	},
	{
		Number: 35, What: "Host functions called with pointers that are wrong",
		Promise: "An error that names the function, the pointer and the size of memory; the instance is thrown away.",
		Tests:   by(in("host", "TestMisbehaviour", "TestStateErrorEndsTheCall", "TestSmallBufferOverlooked"), in("engine", "TestMemoryAfterFailure")),
	},
	{
		Number: 36, What: "Emits to subjects that are invalid, reserved or forbidden, or that no stream takes",
		Promise: "A module may emit where `projection.emit.subjects` says; anything else is a failure of the event, which names the subject. While the target stream is absent, full or refuses, what is emitted waits, up to `limits.outbox`; then no more events are taken, `status` says why, and it goes on by itself.",
		Tests: by(in("engine", "TestForbiddenEmits", "TestEmitDeclarations", "TestOutboxFull", "TestTargetChanges"), in("engine/broker", "TestOutletRefused", "TestOutletStreamIsGone", "TestOutletServerAway"),
			in("cmd/engine", "TestTargetStreamIsAway", "TestTargetStreamIsRecreated", "TestEmitToWorkQueue")),
	},
	{
		Number: 37, What: "Projections that emit into each other's streams",
		Promise: "A projection that would be fed with its own events is refused, unless `allow_loop` is set. Every emitted event counts how many projections had a part in it: beyond `max_hops` the event fails that would cause another.",
		Tests:   in("engine", "TestHops", "TestEmitDeclarations"),
	},
	{
		Number: 38, What: "A module's file replaced while it is read, cut off, or deleted",
		Promise: "Only whole bytes are used that were in the file at one moment, and those that were checked are those that run. What is being written is waited for; what cannot be loaded is refused, and what ran goes on. A module that is gone stops its projection and keeps its data.",
		Tests: by(in("plugins", "TestTruncatedAtEveryLength", "TestReplacedWhileItIsRead", "TestRefused", "TestChanges", "TestReadTogether", "TestEventsAreLost"),
			in("plugins/intact", "TestRead", "TestOpenForWriting", "TestReadWhileItIsWritten", "TestChangedMeanwhile"),
			in("plugins/bucket", "TestDeploymentsAreAtomic", "TestServerAway", "TestDamage"), in("engine", "TestRefused", "TestWithdrawAndRemove")),
		Open: "a copy that was given up half way is not told from a whole file, unless modules are pinned or signed.",
	},
	{
		Number: 39, What: "A new version of a module fails",
		Promise: "One that cannot be loaded, is not trusted, or cannot take the state over is refused, and what ran goes on, also after a restart; one that fails at an event halts beside the version that is read, which stays.",
		Tests: by(in("engine", "TestChangedProjectionTakesOver", "TestChangeTakenBack", "TestRefused", "TestSwap", "TestMigrate", "TestSwapMendsAHalt", "TestPromoteAndRollback", "TestPromoteOneThatIsBehind"),
			in("plugins", "TestPin", "TestSignatures"), in("cmd/engine", "TestScripts/modules", "TestScripts/generations", "TestScripts/deploy")),
	},
	{
		Number: 40, What: "A module changed again and again under load; a kill in the midst of it",
		Promise: "A changed module is built beside the one that is read, or takes over its state between two batches: what is read is one version, and never goes back. After a kill the projection is as before the change, or as after it. `make soak` kills and swaps more often.",
		Tests: by(in("engine", "TestChangedProjectionTakesOver", "TestTakesOverWhatIsCommitted", "TestReadingSurvivesHandOver", "TestChangedProjectionKeepsItsOrigin", "TestSwap", "TestPromoteUnderLoad", "TestPromoteAndRollback"),
			in("cmd/engine", "TestSwappedUnderLoad", "TestKilledWhileGenerationsChange", "TestChangedRuleOnRealLogs")),
	},
	{
		Number: 41, What: "Another version of the contract, exports missing, wrong signatures",
		Promise: "Refused with what is there and what is expected, by `run` and `check` alike.",
		Tests:   by(in("host", "TestRefused", "TestContractIsOffered"), in("cmd/engine", "TestScripts/modules")),
	},
	{
		Number: 42, What: "The same events in other batches, partitions, or on another day",
		Promise: "The same state, byte for byte.",
		Tests:   by(in("engine", "TestBatchesLeaveNoTrace", "TestPartitionsLeaveNoTrace", "TestOverlayIsAMap", "TestSimulation"), in("host", "TestFuelIsDeterministic", "TestFloatWarning"), in("host/fuel", "TestExamplesGiveTheSameResults", "TestFloatArithmetic"), in("cmd/engine", "TestProcessMapOnRealLogs", "TestRepoFilesIsGitsTree")),
	},
}

var operation = []Case{
	{
		Number: 43, What: "SIGTERM while catching up; SIGTERM twice",
		Promise: "The first one ends in order: committed, synced, exit 0. A second one ends at once, like a kill, and the state is as exact as after one.",
		Tests:   by(in("engine", "TestCloseCommits"), in("cmd/engine", "TestTerminatedWhileCatchingUp", "TestTerminatedWhileServerIsAway", "TestScripts/interrupt", "TestSeedThatWasCutOff")),
	},
	{
		Number: 44, What: "Mistakes in the configuration; projections renamed or removed",
		Promise: "One line with file, line and key, and nothing is made. A running engine refuses the change, and goes on. A projection that is no longer configured is stopped and keeps its data.",
		Tests:   by(in("cmd/engine", "TestScripts/config", "TestScripts/generations"), in("engine/config", "TestMistakes", "TestFilesBesideModules"), in("engine", "TestRefusals", "TestRefused", "TestWithdrawAndRemove")),
	},
	{
		Number: 45, What: "HTTP: slow clients, idle connections, huge bodies, bad paths, reads of everything, watches that nobody reads; slow requests over NATS",
		Promise: "Limits, and problems with a code; a client that does not read, or sends its body too slowly, is cut off and holds nothing; at most `http.max_connections` are open, and health and metrics are answered beyond them.",
		Tests: by(in("engine/query", "TestHostileRequests", "TestIdleConnections", "TestClientThatDoesNotRead", "TestAnswerHoldsNothing", "TestTimeIsRenewed", "TestCloseWaits", "TestBadPaths",
			"TestProblems", "TestMethods", "TestAnyKey", "TestPages", "TestLargePage", "TestForeignHost", "TestCrossOrigin", "TestToken",
			"TestConnectionsMakeRoom", "TestConnectionsUnderWay", "TestConnectionsAreBounded", "TestBodyIsPaced", "TestSlowBody", "TestTimeForBodyEndsWithIt",
			"TestWatcherThatDoesNotRead", "TestManyWatchers", "TestCloseEndsWatches"), in("engine", "TestWatchTooSlowly"), in("engine/service", "TestSlowRequests", "TestWatchOfASlowClient")),
	},
	{
		Number: 46, What: "A backup taken under load, restored elsewhere, or damaged",
		Promise: "A state travels as one file: exported under load as of a version, it makes a keyspace with the same digest elsewhere, which goes on in step. One that is damaged, cut off, or of another projection, module or source is refused, and nothing is left of it; where the stream is another one the projection is `diverged`, before anything is applied.",
		Tests: by(in("engine/archive", "TestTravels", "TestMemoryTravels", "TestIncremental", "TestExportUnderLoad", "TestNewNodeIsInStep", "TestFlippedBits", "TestCutOff", "TestDamagedOnDisk", "TestDamagedIncremental",
			"TestReorderedBlocks", "TestForeignFiles", "TestForeignArchives", "TestForged", "TestClaimsTakeNoMemory", "TestKilledImport", "TestKeptFormat", "TestMemoryIsBounded"), in("engine/archive/objects", "TestObjects", "TestArchiveByWayOfABucket"),
			in("cmd/engine", "TestTransferUnderLoad", "TestTransferToOtherStream", "TestScripts/transfer")),
	},
}
