// Package modeltest runs random programs on a simulated kernel, and compares what happens with a model of the contract.
//
//	Program: a kernel, options, and a list of operations
//	   │ run
//	   ▼
//	world ── operations ──► session.Engine ◄──► simulated.Kernel ◄── operations ── peers
//	   │                        │ callbacks                                         │ bytes
//	   ▼                        ▼                                                   ▼
//	model of each stream: what was written, read, asked for and told; every broken rule ends the run
//
// A Program is data. It prints as the lines of a Go literal, so that one that fails becomes a test of its own. Two runs
// of a Program are the same, but for goroutines that the library starts.
//
// All of it is in the package's tests; go test runs some programs, and scripts/simulate.sh as many as you like.
package modeltest
