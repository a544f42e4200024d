package results

import (
	"time"
)

// Format is the version of the layout of Results. Files of other versions are refused.
const Format = 1

// Results is everything that a run measured, and what is needed to judge it. It is what run writes as JSON, and all
// that report and compare read. Durations are in nanoseconds.
type Results struct {
	Format   int           `json:"format"`
	Program  string        `json:"program"` // version or commit of the measured program, "" if unknown
	Label    string        `json:"label"`   // the user's name for this run, or ""
	Began    time.Time     `json:"began"`
	Took     time.Duration `json:"took_ns"`
	Machine  Machine       `json:"machine"`
	Setting  Setting       `json:"setting"`
	Servers  []Server      `json:"servers"`  // in the order of the tables
	Samples  []Sample      `json:"samples"`  // in the order in which they were measured
	Failures []string      `json:"failures"` // wrong bytes, stalls, servers that died: the reasons for exit status 1
	Notes    []string      `json:"notes"`    // what the reader should know
}

// Machine describes the machine. Empty: unknown.
type Machine struct {
	CPU         string            `json:"cpu"`
	CPUs        int               `json:"cpus"` // that may be used
	Memory      int64             `json:"memory_bytes"`
	Kernel      string            `json:"kernel"`
	Governor    string            `json:"governor"`    // of frequency scaling
	Mitigations map[string]string `json:"mitigations"` // /sys/devices/system/cpu/vulnerabilities
	Virtual     string            `json:"virtual"`     // hypervisor
	Go          string            `json:"go"`
	Modules     map[string]string `json:"modules"` // module path: version, of this program
}

// Setting describes how a run measured.
type Setting struct {
	Rounds     int           `json:"rounds"`
	Warmup     time.Duration `json:"warmup_ns"`
	Window     time.Duration `json:"window_ns"`
	Procs      int           `json:"procs"` // GOMAXPROCS of the servers
	ServerCPUs []int         `json:"server_cpus"`
	LoadCPUs   []int         `json:"load_cpus"`
	Network    string        `json:"network"` // "loopback", "veth"
}

// Server describes a server that was measured.
type Server struct {
	Impl    string `json:"impl"`
	About   string `json:"about"`
	Version string `json:"version"` // of the library it stands on
	Details string `json:"details"`
}
