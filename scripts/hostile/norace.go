//go:build linux && !race

package main

// detectorFactor is how much more memory the race detector takes: it is off.
const detectorFactor = 1
