//go:build linux

package machine

import (
	"os/exec"
	"runtime/debug"
	"strings"
)

// ProgramVersion is the commit that this program was built from, or "". A program started by go run does not contain
// it, so git is asked about the working directory, which then is that of the source.
func ProgramVersion() string {
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
