//go:build !linux

package backendtest

var unixRulesLinux []Rule
