package polled

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/drivertest"
)

// What Read returned is valid until the next Read.
func TestReadLoanEnds(t *testing.T) {
	if !drivertest.Poisoned(t) {
		return
	}
	b := &StreamSession{pool: new(backend.Pool)}
	b.handler.in = append(b.pool.Get(5)[:0], "bytes"...)
	p, status, err := b.Read()
	require.NoError(t, err)
	require.Equal(t, Data, status)
	require.Equal(t, "bytes", string(p))
	_, _, err = b.Read()
	require.NoError(t, err)
	assert.True(t, drivertest.IsPoison(p))
}

// The bytes of a write buffer are lent to the Session below until its Write returns.
func TestWriteBufferLoanEnds(t *testing.T) {
	if !drivertest.Poisoned(t) {
		return
	}
	o := outgoing{buf: []byte("sent, unsent"), limit: 64}
	p := o.bytes()
	o.advance(6)
	assert.True(t, drivertest.IsPoison(p[:6]))
	assert.Equal(t, "unsent", string(o.bytes()))
}
