//go:build !linux

package backendtest

func tooManyFiles(*Env) {}
