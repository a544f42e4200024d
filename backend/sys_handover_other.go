//go:build !linux

package backend

// Unsent is for Linux only.
func Unsent(int) int { return 0 }

// SaveOptions is for Linux only.
func SaveOptions(int) func() { return func() {} }
