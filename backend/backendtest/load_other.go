//go:build !linux

package backendtest

func errorQueue(*Env) {}
