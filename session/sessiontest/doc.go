// Package sessiontest helps to test Sessions of package polled, and code that uses them.
//
//	your code ── Script        a Session whose results the test writes down, call by call
//	your code ── Pair ── …     two Sessions that are connected in memory, with as much room between them as the test wants
//	your Transport ── Log      what it logs, for the test to read
//	Run ── your Session        the contract of polled.Session, a subtest for each rule
package sessiontest
