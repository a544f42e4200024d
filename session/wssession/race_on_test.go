//go:build race

package wssession_test

const raceEnabled = true
