//go:build !linux

package backendtest

var detachRulesLinux []Rule
