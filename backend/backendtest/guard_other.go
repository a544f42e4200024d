//go:build !linux

package backendtest

func closeOnExec(string) bool { return true }
