package integration

import (
	"bytes"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session"
)

// natsFormat has the messages of the NATS protocol.
var natsFormat = func() frame.Codec[frame.Message] {
	crlf := []byte("\r\n")
	codec, err := frame.NewTextHeader(frame.TextHeaderOptions{
		Ends: [][]byte{crlf}, Trailer: crlf, MaxHeader: 4096, MaxBody: 1 << 20, SkipTooLarge: true,
		Length: func(line []byte) (int, error) {
			if !bytes.HasPrefix(line, []byte("PUB ")) && !bytes.HasPrefix(line, []byte("MSG ")) {
				return frame.NoBody, nil
			}
			n, err := strconv.ParseUint(string(line[bytes.LastIndexByte(line, ' ')+1:]), 10, 31)
			return int(n), err
		},
	})
	if err != nil {
		panic(err)
	}
	return codec
}()

// natsHub is a small server of NATS: subjects without wildcards, no headers, no queues.
type natsHub struct {
	mu            sync.Mutex
	subscriptions map[string]map[natsSubscription]bool // by subject
	skipped       int
}

type natsSubscription struct {
	stream *tandem.Stream
	id     string
}

func (h *natsHub) line(s *tandem.Stream, format string, args ...any) error {
	return session.WriteFrame(s, natsFormat, frame.Message{Header: fmt.Appendf(nil, format, args...)})
}

// message answers one. mu is held.
func (h *natsHub) message(s *tandem.Stream, m frame.Message) error {
	words := bytes.Fields(m.Header)
	switch verb := string(words[0]); verb {
	case "CONNECT", "PONG":
		return nil
	case "PING":
		return h.line(s, "PONG")
	case "SUB":
		subject := string(words[1])
		if h.subscriptions[subject] == nil {
			h.subscriptions[subject] = map[natsSubscription]bool{}
		}
		h.subscriptions[subject][natsSubscription{s, string(words[len(words)-1])}] = true
		return nil
	case "UNSUB":
		for _, all := range h.subscriptions {
			if len(words) == 2 { // and not behind some messages
				delete(all, natsSubscription{s, string(words[1])})
			}
		}
		return nil
	case "PUB":
		for to := range h.subscriptions[string(words[1])] {
			header := fmt.Appendf(nil, "MSG %s %s ", words[1], to.id)
			header = append(header, bytes.Join(words[2:], []byte(" "))...)
			if err := session.WriteFrame(to.stream, natsFormat, frame.Message{Header: header, Body: m.Body}); err != nil {
				return err
			}
		}
		return nil
	default:
		return fmt.Errorf("a message %.50q", m.Header)
	}
}

// TestNATSHub has nats.go publish, subscribe and request at a server of frames.
func TestNATSHub(t *testing.T) {
	onStreams(t, func(t *testing.T, tr tandem.Transport) {
		h := &natsHub{subscriptions: map[string]map[natsSubscription]bool{}}
		host, port := serveFrames(t, tr, &session.FrameHandler[frame.Message]{
			Codec: natsFormat,
			Open: func(s *tandem.Stream) {
				assert.NoError(t, h.line(s, `INFO {"server_id":"test","version":"2.0.0","proto":1,"max_payload":8388608}`))
			},
			Message: func(s *tandem.Stream, m frame.Message) {
				h.mu.Lock()
				defer h.mu.Unlock()
				assert.NoError(t, h.message(s, m))
			},
			Skipped: func(_ *tandem.Stream, err *frame.Error) {
				h.mu.Lock()
				defer h.mu.Unlock()
				h.skipped++
				assert.ErrorIs(t, err, frame.ErrTooLarge)
			},
			Close: func(s *tandem.Stream, _ error) {
				h.mu.Lock()
				defer h.mu.Unlock()
				for _, all := range h.subscriptions {
					for to := range all {
						if to.stream == s {
							delete(all, to)
						}
					}
				}
			},
		})
		nc := natsConnect(t, "nats://"+host+":"+port, nats.UseOldRequestStyle()) // the new one has wildcards

		got := make(chan *nats.Msg, 2000)
		_, err := nc.ChanSubscribe("subject", got)
		require.NoError(t, err)
		for i := range cap(got) {
			require.NoError(t, nc.Publish("subject", large[i:i+i%500]))
		}
		require.NoError(t, nc.Publish("subject", large[:1<<20]))
		for i := range cap(got) {
			sameBytes(t, large[i:i+i%500], receive(t, "a message", got).Data, "a message")
		}
		sameBytes(t, large[:1<<20], receive(t, "a large message", got).Data, "a large message")

		_, err = nc.Subscribe("echo", func(m *nats.Msg) { assert.NoError(t, m.Respond(m.Data)) })
		require.NoError(t, err)
		answer, err := nc.Request("echo", []byte("who is there?"), patience)
		require.NoError(t, err)
		assert.Equal(t, "who is there?", string(answer.Data))

		require.NoError(t, nc.Publish("subject", large[:2<<20]))
		require.NoError(t, nc.Publish("subject", []byte("behind")))
		assert.Equal(t, "behind", string(receive(t, "the message behind the one that was dropped", got).Data))
		h.mu.Lock()
		defer h.mu.Unlock()
		assert.Equal(t, 1, h.skipped)
	})
}
