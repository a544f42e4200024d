package tandem_test

import (
	"fmt"
	"os"
	"strconv"
	"sync"

	"github.com/stretchr/testify/assert"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/backendtest"
	uring "github.com/tandem-io/tandem/backend_uring"
	"github.com/tandem-io/tandem/backend_uring/ring/ringtest"
)

// emulation makes io_uring drivers on emulated kernels that misbehave, another one for each Transport. TANDEM_SEED
// chooses others, and TANDEM_EMULATED=all runs all rules, not a share of them.
type emulation struct {
	seed uint64
	base uring.Config

	mu      sync.Mutex // guards what follows
	made    uint64
	kernels []*ringtest.Kernel // since the last rule ended
}

// emulatedSetups are the emulated kernel with queues of the usual size, and with tiny ones that overflow all the time.
func emulatedSetups() []backendtest.Setup {
	usual, tiny := uringSetup("uring-emulated", uring.Config{}), tinySetup()
	tiny.Name = "uring-emulated-tiny"
	small := tinyConfig
	small.BufferSize = 1024 // with less, rules that move megabytes take too long
	tiny.HandedOver *= small.BufferSize / tinyConfig.BufferSize
	return []backendtest.Setup{
		newEmulation(uring.Config{}).change(usual),
		newEmulation(small).change(tiny),
	}
}

func newEmulation(base uring.Config) *emulation {
	m := &emulation{seed: 1, base: base}
	if s := os.Getenv("TANDEM_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			panic("TANDEM_SEED: " + err.Error())
		}
		m.seed = seed
	}
	return m
}

func (m *emulation) change(s backendtest.Setup) backendtest.Setup {
	s.Drivers, s.Ended, s.Chosen, s.Required = m.drivers, m.ended, m.chosen, true
	s.Waits = backendtest.Waits{}
	s.Without = map[string]string{}
	for _, rule := range []string{"S37_NoAllocation", "Frames_NoAllocation", "Sessions_NoAllocation"} {
		s.Without[rule] = "the emulated kernel allocates"
	}
	for _, rule := range []string{"S33_Fairness", "S39_HangUpOfMany", "S41_EachFairly"} {
		s.Without[rule] = "it measures how soon a kernel tells what has happened, and this one does it late"
	}
	s.Without["S09_OneSendATurn"] = "it counts sends, of which the emulated kernel takes some in parts or not at all"
	return s
}

// chosen takes every rule, or one in so many of them, others for each seed.
func (m *emulation) chosen(rule string) bool {
	if os.Getenv("TANDEM_EMULATED") == "all" {
		return true
	}
	h := m.seed * 0x9e3779b97f4a7c15
	for _, c := range []byte(rule) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h>>32%8 == 0
}

// drivers are on a kernel, and on a rung, of their own.
func (m *emulation) drivers(n backendtest.Need) ([]backend.Driver, error) {
	m.mu.Lock()
	m.made++
	seed := m.seed*1_000_000 + m.made
	k := ringtest.New(seed, ringtest.Wild(seed))
	m.kernels = append(m.kernels, k)
	m.mu.Unlock()
	c := m.base
	c.Kernel, c.Rung = k, []string{"defer", "coop", "plain", "oneshot"}[seed%4]
	return uringDrivers(c)(n)
}

// ended fails a rule if its drivers have made mistakes, and tells how a rule that failed can be run again.
func (m *emulation) ended(e *backendtest.Env) {
	m.mu.Lock()
	kernels := m.kernels
	m.kernels = nil
	m.mu.Unlock()
	for _, k := range kernels {
		assert.Empty(e, k.Faults(), "what the driver did wrong on the kernel with %v", k)
	}
	if e.Failed() {
		e.Log(fmt.Sprintf("TANDEM_SEED=%d; the kernels: %v", m.seed, kernels))
	}
}
