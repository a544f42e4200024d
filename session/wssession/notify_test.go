package wssession_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame/websocket"
	"github.com/tandem-io/tandem/session/polled"
	"github.com/tandem-io/tandem/session/wssession"
)

// TestSessionNotifies has a client that waits for calls alone, from the handshake to the end: with messages that have to
// wait for room, and compressed ones.
func TestSessionNotifies(t *testing.T) {
	server, url := open(echoes{})
	defer server.Close()
	rung := make(chan struct{}, 1)
	s, err := wssession.ConnectSession(server, url, &wssession.DialOptions{
		Options: wssession.Options{Compression: true, WriteBuffer: 1024},
		Notify: func() {
			select {
			case rung <- struct{}{}:
			default:
			}
		},
	})
	require.NoError(t, err)
	const messages = 60
	message := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, i*i*100) }
	for sent, came, closing := 0, 0, false; s.Status() != polled.Terminated; {
		activity, err := s.Drive()
		require.NoError(t, err)
		m, status, err := s.Read()
		if errors.Is(err, io.EOF) && closing {
			continue
		}
		require.NoError(t, err)
		more := activity == polled.Active || status != polled.None
		if status == polled.Data {
			require.True(t, bytes.Equal(message(came), m.Data), "message %d differs", came)
			came++
		}
		if sent < messages {
			_, status, err := s.Write(websocket.Message{Kind: websocket.Binary, Data: message(sent)})
			require.NoError(t, err)
			if status == polled.Success {
				sent, more = sent+1, true
			}
		}
		if came == messages && !closing {
			closing, more = true, true
			require.NoError(t, s.CloseWith(websocket.StatusNormalClosure, ""))
		}
		if more {
			continue
		}
		select {
		case <-rung:
		case <-time.After(20 * time.Second):
			require.FailNow(t, "nobody was woken", "%d messages were sent, and %d came", sent, came)
		}
	}
	require.NoError(t, s.Close())
	assert.Error(t, s.Notify(nil))
}

// echoes sends everything back.
type echoes struct{ wssession.BaseHandler }

func (echoes) OnMessage(c *wssession.Conn, m websocket.Message) { _ = c.WriteBinary(m.Data) }
