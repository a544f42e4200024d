// Package drivertest has what the tests of every driver need: an owner that records events, sockets to attach, and
// tests of the contract of backend.Driver. Tests of what streams promise are in package backendtest.
//
//	Run       the contract, on one driver           TestDriver in each driver's package
//	Recorder  the owner of a socket
//	Attach, Pair, TCPPair, Listen, Dial             sockets, closed when the test ends
//	Turn, Until, Release                            calls of Poll
//	Poisoned, Misuses                               a process of its own, in which memory is poisoned
//
// A driver may be bound to its thread, so the functions that call one are for the goroutine that started it, which is
// the test's.
package drivertest
