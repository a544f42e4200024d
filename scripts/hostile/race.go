//go:build linux && race

package main

// detectorFactor is how much more memory the race detector takes; what it took it does not give back.
const detectorFactor = 3
