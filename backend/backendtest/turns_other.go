//go:build !linux

package backendtest

func resolution(*Env) {}
