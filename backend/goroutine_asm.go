//go:build (linux && amd64) || arm64

package backend

func getg() uintptr
