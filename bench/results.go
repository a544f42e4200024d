package main

import "time"

// resultsFormat is the number of the layout of results. A file of another one is refused.
const resultsFormat = 1

// results is all that a run measured, and what one has to know to judge it. It is what run writes as JSON, and all
// that report and compare read. Durations are in nanoseconds.
type results struct {
	Format   int           `json:"format"`
	Program  string        `json:"program"` // version or commit of what was measured, "" if unknown
	Label    string        `json:"label"`   // what the user calls this run, or ""
	Began    time.Time     `json:"began"`
	Took     time.Duration `json:"took_ns"`
	Machine  machineFacts  `json:"machine"`
	Setting  setting       `json:"setting"`
	Servers  []serverFacts `json:"servers"`  // in the order of the tables
	Samples  []sample      `json:"samples"`  // in the order in which they were measured
	Failures []string      `json:"failures"` // wrong bytes, stalls, servers that died; what makes the exit status 1
	Notes    []string      `json:"notes"`    // what the reader should know
}

// machineFacts describes the machine. Empty: unknown.
type machineFacts struct {
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

// setting is how it was measured.
type setting struct {
	Rounds     int           `json:"rounds"`
	Warmup     time.Duration `json:"warmup_ns"`
	Window     time.Duration `json:"window_ns"`
	Procs      int           `json:"procs"` // GOMAXPROCS of the servers
	ServerCPUs []int         `json:"server_cpus"`
	LoadCPUs   []int         `json:"load_cpus"`
	Network    string        `json:"network"` // "loopback", "veth"
}

// serverFacts are what a server says of itself.
type serverFacts struct {
	Impl    string `json:"impl"`
	About   string `json:"about"`
	Version string `json:"version"` // of the library it stands on
	Details string `json:"details"`
}

// workload is what is asked of a server. Two samples are comparable if theirs are equal.
type workload struct {
	Kind  string `json:"kind"`  // echo, frame-echo, conn-echo, stream, fan-out, churn, idle, worker
	Conns int    `json:"conns"` //
	Size  int    `json:"size"`  // bytes of a message
	Depth int    `json:"depth"` // messages of a connection in flight
	Rate  int    `json:"rate"`  // messages per second offered, of all connections together; 0: closed loop
}

// sample is one server under one workload in one round. What was not or cannot be measured is 0, and absent in JSON.
type sample struct {
	Impl     string   `json:"impl"`
	Workload workload `json:"workload"`
	Round    int      `json:"round"`

	Messages int64         `json:"messages"`
	Bytes    int64         `json:"bytes"` // of messages, one way
	Window   time.Duration `json:"window_ns"`
	Late     int64         `json:"late,omitempty"`   // open loop: messages that were due and not answered at the end
	Behind   int64         `json:"behind,omitempty"` // open loop: messages that the load generator itself sent too late

	// Latency is an HDR histogram, in nanoseconds, as hdrhistogram-go encodes it (V2, compressed, base64). In an open
	// loop a message's time begins when it was due.
	Latency string `json:"latency,omitempty"`

	ServerCPU  time.Duration `json:"server_cpu_ns"`
	ServerUser time.Duration `json:"server_user_ns,omitempty"`
	ServerSys  time.Duration `json:"server_sys_ns,omitempty"`
	ServerWait time.Duration `json:"server_wait_ns"` // could have run, while somebody else had the CPU
	ClientCPU  time.Duration `json:"client_cpu_ns"`
	ClientWait time.Duration `json:"client_wait_ns"`

	Voluntary   int64         `json:"voluntary_switches,omitempty"` // context switches of the server's threads
	Involuntary int64         `json:"involuntary_switches,omitempty"`
	Syscalls    int64         `json:"syscalls,omitempty"` // of the server
	Mallocs     int64         `json:"mallocs,omitempty"`  // heap objects the server allocated; Go servers only
	GCs         int64         `json:"gcs,omitempty"`
	GCPause     time.Duration `json:"gc_pause_ns,omitempty"`
	Resident    int64         `json:"resident_bytes,omitempty"` // of the server, at the end of the window
	PerConn     float64       `json:"per_conn_bytes,omitempty"` // idle: resident bytes that a connection adds
}
