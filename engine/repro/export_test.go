package repro

// What tests use that others do not need.
var (
	ReadFacts = readFacts
	DigestOf  = digestOf
)
