// Package results holds what a run measured: the file that run writes and report and compare read, and the medians over
// its rounds.
package results
