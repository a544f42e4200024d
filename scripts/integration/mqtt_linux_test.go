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
	rest := m.Body[end:]
	if qos > 0 {
		if err := send(mqttPubAck, rest[:2]...); err != nil {
			return err
		}
		rest = rest[2:]
	}
	body := append(append([]byte{}, m.Body[:end]...), rest...)
	for _, to := range b.subscribers[string(m.Body[2:end])] {
		if b.version[to] == 0 {
			continue // it has gone
		}
		if err := session.WriteFrame(to, mqttPackets, frame.Message{Header: []byte{mqttPublish}, Body: body}); err != nil {
			return err
		}
	}
	return nil
}

// mqttClients are programs, and the broker that they use.
type mqttClients struct {
	*mqttBroker
	pub, sub   string
	host, port string
}

// subscribed reports whether somebody has subscribed to a topic.
func (c *mqttClients) subscribed(topic string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.subscribers[topic]) > 0
}

// start starts a client that subscribes to a topic.
func (c *mqttClients) start(t *testing.T, topic string, args ...string) (s *said, ended <-chan struct{}) {
	t.Helper()
	s = &said{}
	p := exec.Command("stdbuf", append([]string{"-oL", c.sub, "-h", c.host, "-p", c.port, "-k", "5", "-t", topic}, args...)...)
	p.Stdout, p.Stderr = s, s
	require.NoError(t, p.Start())
	end := make(chan struct{})
	go func() {
		defer close(end)
		_ = p.Wait()
	}()
	t.Cleanup(func() {
		_ = p.Process.Kill()
		<-end
	})
	until(t, "a subscription", func() bool { return c.subscribed(topic) })
	return s, end
}

// handOn publishes lines, and returns what a subscriber has got after count of them.
func (c *mqttClients) handOn(t *testing.T, version, qos string, count int, lines ...string) string {
	t.Helper()
	topic := t.Name()
	got, ended := c.start(t, topic, "-V", version, "-C", fmt.Sprint(count))
	run(t, strings.NewReader(strings.Join(lines, "\n")+"\n"), c.pub,
		"-V", version, "-h", c.host, "-p", c.port, "-t", topic, "-q", qos, "-l")
	receive(t, "the end of the subscriber", ended)
	return got.String()
}

// TestMQTT has the clients of Mosquitto publish and subscribe at a broker of frames.
func TestMQTT(t *testing.T) {
	pub, sub := tool(t, "mosquitto_pub"), tool(t, "mosquitto_sub")
	onStreams(t, func(t *testing.T, tr tandem.Transport) {
		b := &mqttBroker{version: map[*tandem.Stream]byte{}, subscribers: map[string][]*tandem.Stream{}}
		c := &mqttClients{mqttBroker: b, pub: pub, sub: sub}
		c.host, c.port = serveFrames(t, tr, b.handler(t))
		idle, _ := c.start(t, "nothing", "-d")
		for _, version := range []string{"mqttv311", "mqttv5"} {
			for _, qos := range []string{"0", "1"} {
				t.Run(version+" with QoS "+qos, func(t *testing.T) { mqttLines(t, c, version, qos) })
			}
		}
		t.Run("a message that is too large", func(t *testing.T) {
			got := c.handOn(t, "mqttv311", "0", 2, "before", strings.Repeat("x", 3_000_000), "behind")
			assert.Equal(t, "before\nbehind\n", got)
			b.mu.Lock()
			defer b.mu.Unlock()
			require.Len(t, b.skipped, 1)
			assert.ErrorIs(t, b.skipped[0], frame.ErrTooLarge)
		})
		// The kernel resets the connection of a program that is killed before it has read the answer.
		until(t, "the answer to a ping, at the client that has nothing to say", func() bool {
			return strings.Contains(idle.String(), "received PINGRESP")
		})
	})
}

// mqttLines publishes lines of all lengths, of which none is dropped.
func mqttLines(t *testing.T, c *mqttClients, version, qos string) {
	var lines []string
	for i := range 500 {
		lines = append(lines, strings.Repeat(fmt.Sprint(i%10), 1+i))
	}
	lines = append(lines, strings.Repeat("m", 1_000_000))
	got := strings.Fields(c.handOn(t, version, qos, len(lines), lines...))
	require.Len(t, got, len(lines))
	for i := range lines {
		require.True(t, lines[i] == got[i], "message %d: %.50q instead of %.50q", i, got[i], lines[i])
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	require.Empty(t, c.skipped)
}
