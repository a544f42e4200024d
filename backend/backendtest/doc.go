// Package backendtest is the conformance suite: one subtest for each rule that a Stream promises, run on every backend
// and on every pair of them.
//
//	TestConformance / Setup.Name / S07_WholeWrites
//
// A rule is a function in a file named after its chapter: bytes, writing, ending, beginning. It gets an Env, which
// opens what it needs: streams of the backend under test, each with a Peer, which is a plain net.Conn, the oracle, or a
// stream of another backend. Every callback of every stream goes through Hooks, which checks on the way that callbacks
// are in order and never overlap. When a rule has ended, the Env checks that descriptors, goroutines, requests and
// buffers are where they were before.
//
// A rule must not depend on how fast the machine is: it waits for what must happen, with Eventually, and only
// that something does not happen is looked at for a short time.
package backendtest
