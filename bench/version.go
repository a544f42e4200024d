//go:build linux

package main

import (
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
)

// programVersion is the commit that this program was built from, or "". go run writes none into the program, so git is
// asked about the directory, which with go run is the source's.
func programVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		settings := make(map[string]string)
		for _, s := range info.Settings {
			settings[s.Key] = s.Value
		}
		if revision := settings["vcs.revision"]; revision != "" {
			if settings["vcs.modified"] == "true" {
				revision += "-dirty"
			}
			return revision
		}
	}
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=12").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// version is that of the library an implementation stands on.
func (im implementation) version() string {
	if im.Module == "" {
		return runtime.Version()
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path != im.Module {
			continue
		}
		if m.Replace != nil { // it lies in the same tree as this program
			return programVersion()
		}
		return m.Version
	}
	return ""
}
