// Package sessiontest helps to test Sessions, and code that uses them: a scripted one, a pair that is connected in
// memory, and the rules that every Session of bytes keeps.
//
//	your code ── Script        what each call answers is written down
//	your code ── Pair ── …     two ends, and as much room between them as the test wants
//	Run ── your Session        the contract of polled.Session, a subtest for each rule
package sessiontest
