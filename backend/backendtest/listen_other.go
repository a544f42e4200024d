//go:build !linux

package backendtest

var listenRulesLinux []Rule
