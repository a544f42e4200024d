// Package backendtest is the conformance suite: one subtest for each rule that a Stream promises, run on any driver.
//
//	TestConformance / Setup.Name / S07_WholeWrites
//
// # A driver
//
// A [Setup] makes the drivers under test, by its function [Setup.Drivers], and says what may be expected of them. [Run]
// runs all rules on it. The example shows a whole test of a driver. A second Setup with Network "unix", one that is
// Dialled, one whose Peers are drivers too, and one that is Beside other streams reach what one Setup does not;
// conformance_test.go of the module's root has all of them, for epoll and io_uring.
//
// A driver whose sizes can be chosen follows [Need]: some rules want queues that overflow, or buffers of a few bytes.
// Where its loops wait for events in system calls of their own, [Setup.Waits] names these, so that they can be made to
// fail.
//
// # A rule
//
// A rule is a function in a file named after its chapter: bytes, writing, ending, beginning. Its comment begins with what
// it tries, and what it promises. It is entered in the list of its chapter, such as bytesRules, under the number that the
// promise has in session/CONTRACT.md and a name:
//
//	{"S14_PeersFIN", peersFIN},
//
// It gets an [Env], which opens what it needs: streams under test, each with a [Peer], which is a plain net.Conn, the
// oracle, or a stream of another Transport. Every callback of every stream goes through [Hooks], which checks on the way
// that callbacks are in order and never overlap. When a rule has ended, the Env checks that descriptors, goroutines,
// requests and buffers are where they were before.
//
//   - A rule does not depend on the speed of the machine. It waits with Eventually for what must happen. That something
//     does not happen it can only see by looking for a moment.
//   - It asserts with testify: require on its own goroutine, assert in callbacks and on other goroutines, where a
//     require would end the loop.
//   - Several scenarios of one rule have names, by Env.Scenario.
//   - It knows nothing about a driver. If it is about the session alone, and not about the network or the peer, it
//     returns at once unless Env.once.
//
// # A socket option
//
// Every socket option is a line of optionCases in options.go: a value that the socket does not have anyway, another one
// for a live stream if it can be set there, and the places where it may be set. The rules X01 then set it at each place
// and read it back. If the kernel stores something else than it is given, function kept says what.
package backendtest
