package results

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/tandem-io/tandem/bench/workload"
)

// Sample is one server under one workload in one round. What was not measured is 0, and absent in JSON.
type Sample struct {
	Impl     string            `json:"impl"`
	Workload workload.Workload `json:"workload"`
	Round    int               `json:"round"`

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
	ServerWait time.Duration `json:"server_wait_ns"` // runnable, while another process had the CPU
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

func (s Sample) check() error {
	switch {
	case s.Impl == "" || s.Workload.Kind == "":
		return errors.New("it does not say what was measured")
	case s.Round < 0:
		return errors.New("a round below zero")
	case s.Messages < 0 || s.Bytes < 0 || s.ServerCPU < 0 || s.PerConn < 0:
		return errors.New("a count below zero")
	case s.Messages > 0 && s.Window <= 0:
		return fmt.Errorf("messages in a window of %v", s.Window)
	}
	_, err := s.Latencies()
	return err
}

// Latencies is the sample's histogram, or nil if it has none.
func (s Sample) Latencies() (*hdrhistogram.Histogram, error) {
	if s.Latency == "" {
		return nil, nil
	}
	h, err := hdrhistogram.Decode([]byte(s.Latency))
	if err != nil {
		return nil, fmt.Errorf("latencies: %w", err)
	}
	return h, nil
}

// Rate is messages per second.
func (s Sample) Rate() float64 {
	if s.Window <= 0 {
		return 0
	}
	return float64(s.Messages) / s.Window.Seconds()
}

// Bandwidth is bytes per second, one way.
func (s Sample) Bandwidth() float64 {
	if s.Window <= 0 {
		return 0
	}
	return float64(s.Bytes) / s.Window.Seconds()
}

// CPUPerMessage is the CPU time of the server per message, in nanoseconds, or 0 if it is not known.
func (s Sample) CPUPerMessage() float64 { return PerMessage(int64(s.ServerCPU), s) }

// PerMessage divides n by the messages of s. It is 0 if there are none.
func PerMessage(n int64, s Sample) float64 {
	if s.Messages == 0 {
		return 0
	}
	return float64(n) / float64(s.Messages)
}

// ratioTo is the CPU time per message as a multiple of that of base in the same round, when both ran on the same
// machine in the same condition.
func (s Sample) ratioTo(base []Sample) float64 {
	i := slices.IndexFunc(base, func(f Sample) bool { return f.Round == s.Round })
	if i < 0 || base[i].CPUPerMessage() == 0 {
		return 0
	}
	return s.CPUPerMessage() / base[i].CPUPerMessage()
}

// Disturbed reports whether other processes took so much CPU time that rate and latencies suffer.
func (s Sample) Disturbed() bool {
	const part = 10
	return s.Window > 0 && max(s.ServerWait, s.ClientWait) > s.Window/part
}

func share(of, all time.Duration) float64 {
	if all <= 0 {
		return 0
	}
	return float64(of) / float64(all)
}
