package backend_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/drivertest"
)

// Memory that was put into a pool holds poison, also what the pool drops, and so does what is taken from it.
func TestPoolPoisons(t *testing.T) {
	if !drivertest.Poisoned(t) {
		return
	}
	var p backend.Pool
	for _, n := range []int{1, 512, 5000, 1 << 20, 1<<20 + 1} {
		b := p.Get(n)
		for i := range b {
			b[i] = byte(i)
		}
		p.Put(b[:1])
		assert.True(t, drivertest.IsPoison(b), "%d bytes", n)
		if n <= 1<<20 {
			next := p.Get(n)
			require.Same(t, &b[0], &next[0])
			assert.True(t, drivertest.IsPoison(next), "%d bytes", n)
		}
	}
	foreign := bytes.Repeat([]byte("x"), 700)
	p.Put(foreign)
	assert.True(t, drivertest.IsPoison(foreign))
}

func TestPoolNoticesMisuse(t *testing.T) {
	t.Run("a second Put", func(t *testing.T) {
		drivertest.Misuses(t, "memory of a pool was given back twice", func() {
			var p backend.Pool
			b := p.Get(1000)
			p.Put(b)
			p.Put(b[:10])
		})
	})
	t.Run("a write behind Put", func(t *testing.T) {
		drivertest.Misuses(t, "memory of a pool was written to after it was given back", func() {
			var p backend.Pool
			b := p.Get(100_000)
			p.Put(b)
			b[len(b)-1] = 'x'
			p.Get(100_000)
		})
	})
}

// Without TANDEM_POISON nothing is poisoned, and nothing is checked.
func TestNoPoison(t *testing.T) {
	if backend.Poisoning() {
		t.Skip("poisoning is on")
	}
	p := []byte("as it was")
	backend.Poison(p)
	backend.CheckPoison(p, "this")
	n := 0
	give := backend.GiveBackOnce(func() { n++ }, "this")
	give()
	give()
	assert.Equal(t, 2, n)
	assert.Equal(t, "as it was", string(p))
}

func TestCheckPoison(t *testing.T) {
	if !drivertest.Poisoned(t) {
		return
	}
	p := make([]byte, 200_000)
	backend.Poison(p)
	backend.CheckPoison(p, "this")
	backend.CheckPoison(nil, "this")
	assert.True(t, drivertest.IsPoison(p))
}
