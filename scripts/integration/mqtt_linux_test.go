package integration

import (
	"encoding/binary"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session"
)

// mqttPackets has the control packets of MQTT. Larger ones are dropped.
var mqttPackets = func() frame.Codec[frame.Message] {
	codec, err := frame.NewVarintField(frame.VarintFieldOptions{
		Offset: 1, Length: 4, Minimal: true, MaxPayload: 1 << 20, SkipTooLarge: true,
	})
	if err != nil {
		panic(err)
	}
	return codec
}()

// Types of control packets, with the flags that they must have.
const (
	mqttConnect    = 0x10
	mqttConnAck    = 0x20
	mqttPublish    = 0x30
	mqttPubAck     = 0x40
	mqttSubscribe  = 0x82
	mqttSubAck     = 0x90
	mqttPingReq    = 0xc0
	mqttPingResp   = 0xd0
	mqttDisconnect = 0xe0
)

// mqttBroker is a small broker, of MQTT 3.1.1 and 5: topics without wildcards, QoS 0 and 1, nothing that lasts.
type mqttBroker struct {
	mu          sync.Mutex
	version     map[*tandem.Stream]byte
	subscribers map[string][]*tandem.Stream
	skipped     []*frame.Error
	pings       int
}

func (b *mqttBroker) handler(t *testing.T) *session.FrameHandler[frame.Message] {
	return &session.FrameHandler[frame.Message]{
		Codec: mqttPackets,
		Message: func(s *tandem.Stream, m frame.Message) {
			b.mu.Lock()
			defer b.mu.Unlock()
			assert.NoError(t, b.packet(s, m))
		},
		Skipped: func(_ *tandem.Stream, err *frame.Error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.skipped = append(b.skipped, err)
		},
		Close: func(s *tandem.Stream, _ error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			delete(b.version, s)
		},
	}
}

// packet answers a control packet. mu is held.
func (b *mqttBroker) packet(s *tandem.Stream, m frame.Message) error {
	send := func(kind byte, body ...byte) error {
		return session.WriteFrame(s, mqttPackets, frame.Message{Header: []byte{kind}, Body: body})
	}
	five := b.version[s] == 5
	switch kind := m.Header[0]; {
	case kind == mqttConnect:
		if b.version[s] = m.Body[6]; b.version[s] == 5 {
			return send(mqttConnAck, 0, 0, 0) // no properties
		}
		return send(mqttConnAck, 0, 0)
	case kind == mqttSubscribe:
		rest := m.Body[2:]
		answer := append([]byte{}, m.Body[:2]...)
		if five {
			length, n := binary.Uvarint(rest)
			rest = rest[n+int(length):]
			answer = append(answer, 0)
		}
		for len(rest) > 0 {
			topic := string(rest[2 : 2+binary.BigEndian.Uint16(rest)])
			b.subscribers[topic] = append(b.subscribers[topic], s)
			rest = rest[2+len(topic)+1:]
			answer = append(answer, 0)
		}
		return send(mqttSubAck, answer...)
	case kind == mqttPingReq:
		b.pings++
		return send(mqttPingResp)
	case kind&0xf0 == mqttPublish:
		return b.publish(m, kind>>1&3, send)
	case kind == mqttDisconnect:
		return s.Close()
	}
	return fmt.Errorf("a packet of type %#x", m.Header[0])
}

// publish hands a message on, as one of QoS 0.
func (b *mqttBroker) publish(m frame.Message, qos byte, send func(kind byte, body ...byte) error) error {
	end := 2 + int(binary.BigEndian.Uint16(m.Body))
	topic, rest := string(m.Body[2:end]), m.Body[end:]
	if qos > 0 {
		if err := send(mqttPubAck, rest[:2]...); err != nil {
			return err
		}
		rest = rest[2:]
	}
	body := append(append([]byte{}, m.Body[:end]...), rest...)
	for _, to := range b.subscribers[topic] {
		if b.version[to] == 0 {
			continue // it has gone
		}
		if err := session.WriteFrame(to, mqttPackets, frame.Message{Header: []byte{mqttPublish}, Body: body}); err != nil {
			return err
		}
	}
	return nil
}

// TestMQTT has the clients of Mosquitto publish and subscribe at a broker of frames.
func TestMQTT(t *testing.T) {
	pub, sub := tool(t, "mosquitto_pub"), tool(t, "mosquitto_sub")
	onStreams(t, func(t *testing.T, tr tandem.Transport) {
		b := &mqttBroker{version: map[*tandem.Stream]byte{}, subscribers: map[string][]*tandem.Stream{}}
		host, port := serveFrames(t, tr, b.handler(t))
		subscribed := func(topic string) func() bool {
			return func() bool {
				b.mu.Lock()
				defer b.mu.Unlock()
				return len(b.subscribers[topic]) > 0
			}
		}
		// handOn subscribes to a topic, publishes lines there, and returns what the subscriber has got after count of them.
		handOn := func(t *testing.T, version, qos string, count int, lines ...string) string {
			t.Helper()
			topic := fmt.Sprintf("%s/%s", version, t.Name())
			got := make(chan string, 1)
			var s said
			c := exec.Command(sub, "-V", version, "-h", host, "-p", port, "-t", topic, "-C", fmt.Sprint(count), "-k", "5")
			c.Stdout, c.Stderr = &s, &s
			require.NoError(t, c.Start())
			t.Cleanup(func() { _ = c.Process.Kill() })
			go func() {
				_ = c.Wait()
				got <- s.String()
			}()
			until(t, "a subscription", subscribed(topic))
			run(t, strings.NewReader(strings.Join(lines, "\n")+"\n"), pub,
				"-V", version, "-h", host, "-p", port, "-t", topic, "-q", qos, "-l")
			return receive(t, "what was published", got)
		}
		quiet := exec.Command(sub, "-h", host, "-p", port, "-t", "nothing", "-k", "5")
		require.NoError(t, quiet.Start())
		t.Cleanup(func() {
			_ = quiet.Process.Kill()
			_ = quiet.Wait()
		})
		for _, version := range []string{"mqttv311", "mqttv5"} {
			for _, qos := range []string{"0", "1"} {
				t.Run(version+" with QoS "+qos, func(t *testing.T) {
					var lines []string
					for i := range 500 {
						lines = append(lines, strings.Repeat(fmt.Sprint(i%10), 1+i))
					}
					lines = append(lines, strings.Repeat("m", 1_000_000))
					got := strings.Fields(handOn(t, version, qos, len(lines), lines...))
					require.Len(t, got, len(lines))
					for i := range lines {
						require.True(t, lines[i] == got[i], "message %d: %.50q instead of %.50q", i, got[i], lines[i])
					}
				})
			}
		}
		t.Run("a message that is too large", func(t *testing.T) {
			b.mu.Lock()
			require.Empty(t, b.skipped)
			b.mu.Unlock()
			got := handOn(t, "mqttv311", "0", 2, "before", strings.Repeat("x", 3_000_000), "behind")
			assert.Equal(t, "before\nbehind\n", got)
			b.mu.Lock()
			defer b.mu.Unlock()
			require.Len(t, b.skipped, 1)
			assert.ErrorIs(t, b.skipped[0], frame.ErrTooLarge)
		})
		until(t, "a ping, of a client that has nothing to say", func() bool {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.pings > 0
		})
	})
}
