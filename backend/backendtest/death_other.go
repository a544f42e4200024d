//go:build !linux

package backendtest

var deathRulesLinux []Rule
