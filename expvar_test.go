package tandem_test

import (
	"bytes"
	"encoding/json"
	"expvar"
	"fmt"
	"log/slog"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// TestExpvarIsComplete reads back what the line in the documentation of Transport.Stats publishes: nothing is missing, and
// nothing has two meanings.
func TestExpvarIsComplete(t *testing.T) {
	tr, err := tandem.Open(&tandem.Options{Backend: tandem.Portable, Loops: 2, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	l, err := tr.Listen("tcp", "127.0.0.1:0", echoes{}, nil)
	require.NoError(t, err)
	name := fmt.Sprintf("tandem of %p", tr) // once in a process, also with -count
	expvar.Publish(name, expvar.Func(func() any { return tr.Stats() }))
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Write([]byte("hello"))
	require.NoError(t, err)
	_, err = c.Read(make([]byte, 5))
	require.NoError(t, err)
	require.NoError(t, tr.Close()) // so that the figures stand still

	var published tandem.Stats
	d := json.NewDecoder(bytes.NewReader([]byte(expvar.Get(name).String())))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&published))
	assert.Equal(t, tr.Stats(), published)
	assert.EqualValues(t, 5, published.BytesIn)
	assert.Len(t, published.Loops, 2)
}

// echoes sends everything back.
type echoes struct{ tandem.BaseHandler }

func (echoes) OnData(s *tandem.Stream) { _, _ = s.WriteTo(s) }
