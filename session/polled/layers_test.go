package polled_test

import (
	"errors"
	"io"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session/polled"
	"github.com/tandem-io/tandem/session/sessiontest"
)

// TestLayersRefuseWhatIsIncomplete gives layers what they cannot work with. They say so at once.
func TestLayersRefuseWhatIsIncomplete(t *testing.T) {
	type texts = polled.Session[string, string]
	below := &sessiontest.Script[[]byte, []byte]{}
	text := &sessiontest.Script[string, string]{}
	beat := func(texts) (polled.Beat, error) { return polled.Sent, nil }
	for name, call := range map[string]func(){
		"Framed without a Session":   func() { polled.NewFramed(nil, frame.U64{}, 0) },
		"Framed without a codec":     func() { polled.NewFramed[[]byte](below, nil, 0) },
		"Framed with less than 0":    func() { polled.NewFramed(below, frame.U64{}, -1) },
		"Duplex that cannot read":    func() { polled.NewDuplex[[]byte, []byte](below, nil, frame.U64{}, 0) },
		"Duplex that cannot write":   func() { polled.NewDuplex[[]byte, []byte](below, frame.U64{}, nil, 0) },
		"Heartbeat of nothing":       func() { polled.NewHeartbeat(texts(nil), time.Second, beat) },
		"Heartbeat without a beat":   func() { polled.NewHeartbeat(texts(text), time.Second, nil) },
		"Heartbeat without interval": func() { polled.NewHeartbeat(texts(text), 0, beat) },
		"Heartbeat backwards":        func() { polled.NewHeartbeat(texts(text), -time.Second, beat) },
		"Liveness of nothing":        func() { polled.NewLiveness(texts(nil), time.Second, 0) },
		"Liveness without a time":    func() { polled.NewLiveness(texts(text), 0, 0) },
		"Liveness backwards":         func() { polled.NewLiveness(texts(text), -time.Second, 0) },
	} {
		t.Run(name, func(t *testing.T) { assert.Panics(t, call) })
	}
}

// boundless is a codec that leaves its limit to its caller.
type boundless struct{ frame.U64 }

func (boundless) MaxSize() int { return 100 }

// TestFramedMaxSize reads what is as large as a codec allows, and what is larger, with a codec that does not look at that
// itself.
func TestFramedMaxSize(t *testing.T) {
	codec := boundless{frame.U64{MaxPayload: math.MaxInt}}
	for size, ok := range map[byte]bool{92: true, 93: false} {
		inner := &sessiontest.Script[[]byte, []byte]{}
		inner.Reads = append(inner.Reads, data("\x00\x00\x00\x00\x00\x00\x00\x00"), data(string([]byte{size, 0, 0, 0, 0, 0, 0, 0})),
			data(string(make([]byte, size))))
		f := polled.NewFramed(inner, codec, 0)
		_, status, err := f.Read() // an empty one in front, which counts for the offset
		require.NoError(t, err)
		require.Equal(t, polled.Data, status)
		_, status, err = f.Read()
		if ok {
			require.NoError(t, err)
			require.Equal(t, polled.Buffered, status)
			m, status, err := f.Read()
			require.NoError(t, err)
			require.Equal(t, polled.Data, status)
			require.Len(t, m, int(size))
			continue
		}
		var wrong *frame.Error
		require.ErrorAs(t, err, &wrong, "a message of %d bytes and its header", size)
		require.ErrorIs(t, err, frame.ErrTooLarge)
		require.Equal(t, int64(8), wrong.Offset)
	}
}

// staged is a Session that notes how it was closed.
type staged struct {
	sessiontest.Script[[]byte, []byte]
	stages bool
}

func (s *staged) CloseInStages() error {
	s.stages = true
	return s.Close()
}

// TestCloseInStages goes through layers, and closes a Session that knows no stages all the same.
func TestCloseInStages(t *testing.T) {
	layers := map[string]func(polled.Bytes) polled.Bytes{
		"Framed":   func(s polled.Bytes) polled.Bytes { return polled.NewFramed(s, frame.U64{}, 0) },
		"Liveness": func(s polled.Bytes) polled.Bytes { return polled.NewLiveness(s, time.Hour, 0) },
		"Heartbeat": func(s polled.Bytes) polled.Bytes {
			return polled.NewHeartbeat(s, time.Hour, func(polled.Bytes) (polled.Beat, error) { return polled.Sent, nil })
		},
	}
	for name, wrap := range layers {
		t.Run(name, func(t *testing.T) {
			able, unable := &staged{}, &sessiontest.Script[[]byte, []byte]{}
			require.NoError(t, wrap(able).(interface{ CloseInStages() error }).CloseInStages())
			assert.True(t, able.stages)
			assert.True(t, able.Closed)
			require.NoError(t, wrap(unable).(interface{ CloseInStages() error }).CloseInStages())
			assert.True(t, unable.Closed)
		})
	}
	t.Run("frames that wait", func(t *testing.T) {
		s := &staged{}
		s.Writes = []sessiontest.Write[[]byte]{{Rest: make([]byte, 9), Status: polled.Pending}}
		f := polled.NewFramed(polled.Bytes(s), frame.U64{}, 0)
		_, _, err := f.Write([]byte("x"))
		require.NoError(t, err)
		require.ErrorIs(t, f.CloseInStages(), io.ErrShortWrite)
		require.True(t, s.stages)
		_, err = f.Detach()
		require.False(t, errors.Is(err, errors.ErrUnsupported), "a closed session says that it is closed")
	})
}
