package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// natsServer starts the server of NATS in this process. It takes no listener from others: it listens by package net.
func natsServer(t *testing.T, id *identity) *server.Server {
	t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: id == nil, StoreDir: folder(t)}
	if id != nil {
		o.TLS, o.TLSConfig = true, id.config.Clone()
	}
	s, err := server.NewServer(o)
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	require.True(t, s.ReadyForConnections(patience), "the server is not ready")
	return s
}

// natsDialer is a CustomDialer of package nats.
type natsDialer struct{ tr tandem.Transport }

func (d natsDialer) Dial(network, address string) (net.Conn, error) {
	return tandem.DialConn(context.Background(), d.tr, network, address, nil)
}

func natsConnect(t *testing.T, url string, o ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, append([]nats.Option{nats.Timeout(patience)}, o...)...)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	return nc
}

// relay has a listener pass all that comes to another connection, both ways, and each end.
func relay(t *testing.T, l net.Listener, dial func() (net.Conn, error)) {
	var all sync.WaitGroup
	one := func(to, from net.Conn) {
		_, err := io.Copy(to, from)
		if c, ok := to.(interface{ CloseWrite() error }); ok && err == nil {
			_ = c.CloseWrite()
			return
		}
		_ = to.Close()
		_ = from.Close()
	}
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			to, err := dial()
			if !assert.NoError(t, err) {
				_ = c.Close()
				continue
			}
			all.Go(func() {
				var both sync.WaitGroup
				both.Go(func() { one(to, c) })
				both.Go(func() { one(c, to) })
				both.Wait()
				_, _ = c.Close(), to.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		over := make(chan struct{})
		go func() { all.Wait(); close(over) }()
		receive(t, "the end of the relay", over)
	})
}

// TestNATS has nats.go over DialConn use a server, and a server behind ListenConn: its InProcessConn takes what comes,
// or a connection of DialConn, between which bytes are spliced.
func TestNATS(t *testing.T) {
	id := newIdentity(t)
	onBackends(t, func(t *testing.T, tr tandem.Transport) {
		s := natsServer(t, nil)
		custom := nats.SetCustomDialer(natsDialer{tr})
		t.Run("client", func(t *testing.T) { natsTalk(t, s.ClientURL(), custom) })
		t.Run("client, TLS", func(t *testing.T) {
			natsMessages(t, natsServer(t, &id).ClientURL(), custom, nats.Secure(id.trust.Clone()))
		})
		t.Run("server", func(t *testing.T) {
			l := listen(t, tr)
			relay(t, l, s.InProcessConn)
			natsTalk(t, "nats://"+l.Addr().String())
		})
		t.Run("both, spliced", func(t *testing.T) {
			l := listen(t, tr)
			relay(t, l, func() (net.Conn, error) { return natsDialer{tr}.Dial("tcp", s.Addr().String()) })
			natsTalk(t, "nats://"+l.Addr().String(), custom)
		})
	})
}

func natsTalk(t *testing.T, url string, o ...nats.Option) {
	natsMessages(t, url, o...)
	natsObjects(t, natsConnect(t, url, o...))
	natsReconnect(t, url, o...)
}

// natsMessages sends to a subscription, to a group of them, and asks.
func natsMessages(t *testing.T, url string, o ...nats.Option) {
	a, b := natsConnect(t, url, o...), natsConnect(t, url, o...)
	const n = 5000
	got := make(chan *nats.Msg, n)
	_, err := a.ChanSubscribe("numbers", got)
	require.NoError(t, err)
	require.NoError(t, a.Flush())
	for i := range n {
		m := &nats.Msg{Subject: "numbers", Data: large[i : i+i%700], Header: nats.Header{"N": {fmt.Sprint(i)}}}
		require.NoError(t, b.PublishMsg(m))
	}
	for i := range n {
		m := receive(t, "a message", got)
		require.Equal(t, fmt.Sprint(i), m.Header.Get("N"))
		sameBytes(t, large[i:i+i%700], m.Data, "a message")
	}
	for range 3 {
		_, err = a.QueueSubscribe("ask", "group", func(m *nats.Msg) { assert.NoError(t, m.Respond(backwards(m.Data))) })
		require.NoError(t, err)
	}
	require.NoError(t, a.Flush())
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			for j := range 20 {
				p := part(i*j, i*j)
				m, err := b.Request("ask", p, patience)
				if assert.NoError(t, err) {
					sameBytes(t, backwards(p), m.Data, "an answer")
				}
			}
			p := large[i : i+500_000]
			m, err := b.Request("ask", p, patience)
			if assert.NoError(t, err) {
				sameBytes(t, backwards(p), m.Data, "a large answer")
			}
		})
	}
	all.Wait()
	_, err = b.Request("nobody", nil, patience)
	require.ErrorIs(t, err, nats.ErrNoResponders)
	require.ErrorIs(t, b.Publish("ask", make([]byte, 2<<20)), nats.ErrMaxPayload)
}

// natsObjects keeps 10 MB at the server and reads them back, and a stream of messages.
func natsObjects(t *testing.T, nc *nats.Conn) {
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	store, err := js.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: "objects", Storage: jetstream.MemoryStorage})
	require.NoError(t, err)
	_, err = store.Put(ctx, jetstream.ObjectMeta{Name: "large"}, bytes.NewReader(large))
	require.NoError(t, err)
	got, err := store.GetBytes(ctx, "large")
	require.NoError(t, err)
	sameBytes(t, large, got, "an object")
	require.NoError(t, js.DeleteObjectStore(ctx, "objects"))

	stream, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.*"}, Storage: jetstream.MemoryStorage})
	require.NoError(t, err)
	for i := range 200 {
		_, err := js.Publish(ctx, "s.x", part(i, i*10))
		require.NoError(t, err)
	}
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{AckPolicy: jetstream.AckExplicitPolicy})
	require.NoError(t, err)
	batch, err := consumer.Fetch(200)
	require.NoError(t, err)
	i := 0
	for m := range batch.Messages() {
		sameBytes(t, part(i, i*10), m.Data(), "a message of a stream")
		require.NoError(t, m.Ack())
		i++
	}
	require.NoError(t, batch.Error())
	require.Equal(t, 200, i)
	require.NoError(t, js.DeleteStream(ctx, "S"))
}

// natsReconnect has a client begin anew, and drain.
func natsReconnect(t *testing.T, url string, o ...nats.Option) {
	again, over := make(chan struct{}, 10), make(chan struct{})
	nc := natsConnect(t, url, append([]nats.Option{
		nats.ReconnectHandler(func(*nats.Conn) { again <- struct{}{} }),
		nats.ClosedHandler(func(*nats.Conn) { close(over) }),
		nats.ReconnectWait(time.Millisecond),
	}, o...)...)
	s, err := nc.SubscribeSync("self")
	require.NoError(t, err)
	for range 3 {
		require.NoError(t, nc.ForceReconnect())
		receive(t, "a new connection", again)
		require.NoError(t, nc.Publish("self", []byte("here")))
		m, err := s.NextMsg(patience)
		require.NoError(t, err)
		require.Equal(t, "here", string(m.Data))
	}
	_, err = s.NextMsg(10 * time.Millisecond)
	require.True(t, errors.Is(err, nats.ErrTimeout), "%v", err)
	require.NoError(t, nc.Drain())
	receive(t, "the end of Drain", over)
}
