package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// relayBackends is onBackends for streams, of which none may be left at the end, on so many loops.
func relayBackends(t *testing.T, loops int, run func(t *testing.T, tr tandem.Transport)) {
	onTransports(t, tandem.Options{Loops: loops}, func(t *testing.T, tr tandem.Transport) {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		assert.NoError(t, tr.Shutdown(ctx), "all relays end by themselves")
	}, run)
}

// proxy relays each stream to a target.
type proxy struct {
	tandem.BaseHandler
	tr      tandem.Transport
	network string
	target  string
	done    atomic.Int64 // relays that have ended
	fromA   atomic.Uint64
	fromB   atomic.Uint64
}

func (p *proxy) OnOpen(s *tandem.Stream) {
	to, err := p.tr.Connect(p.network, p.target, tandem.BaseHandler{}, nil)
	if err == nil {
		err = tandem.Relay(s, to, &tandem.RelayOptions{OnDone: func(_ error, x tandem.RelayStats) {
			p.fromA.Add(x.FromA)
			p.fromB.Add(x.FromB)
			p.done.Add(1)
		}})
	}
	if err != nil {
		_ = s.AbortWith(err)
	}
}

// TestRelaySocat has socat be the server behind a proxy, over TCP and a Unix socket, and the client in front of it. The
// server answers when its client has finished, so that half close has to pass.
func TestRelaySocat(t *testing.T) {
	socat := tool(t, "socat")
	relayBackends(t, 2, func(t *testing.T, tr tandem.Transport) {
		dir := folder(t)
		path := filepath.Join(dir, "socket")
		host, port := freeAddress(t)
		const answer = "SYSTEM:sha256sum"
		start(t, exec.Command(socat, fmt.Sprintf("TCP-LISTEN:%s,bind=%s,reuseaddr,fork", port, host), answer), syscall.SIGTERM, "tcp", net.JoinHostPort(host, port))
		start(t, exec.Command(socat, fmt.Sprintf("UNIX-LISTEN:%s,fork", path), answer), syscall.SIGTERM, "unix", path)
		want := run(t, bytes.NewReader(large), tool(t, "sha256sum"))
		for network, target := range map[string]string{"tcp": net.JoinHostPort(host, port), "unix": path} {
			p := &proxy{tr: tr, network: network, target: target}
			ph, pp := listenStreams(t, tr, p)
			got := run(t, bytes.NewReader(large), socat, "-t", "30", "STDIO", "TCP:"+net.JoinHostPort(ph, pp))
			assert.Equal(t, want, got, "%s: the sum of what came through", network)
			until(t, "the end of the relay", func() bool { return p.done.Load() == 1 })
			assert.EqualValues(t, len(large), p.fromA.Load())
			assert.EqualValues(t, len(want), p.fromB.Load())
		}
	})
}

// TestRelaySocatTLS has socat speak TLS to a target of its own through a proxy, which does not look into it.
func TestRelaySocatTLS(t *testing.T) {
	socat, id := tool(t, "socat"), newIdentity(t)
	relayBackends(t, 2, func(t *testing.T, tr tandem.Transport) {
		host, port := freeAddress(t)
		start(t, exec.Command(socat, fmt.Sprintf("OPENSSL-LISTEN:%s,bind=%s,cert=%s,key=%s,verify=0,reuseaddr,fork", port, host, id.certFile, id.keyFile), "PIPE"),
			syscall.SIGTERM, "tcp", net.JoinHostPort(host, port))
		p := &proxy{tr: tr, network: "tcp", target: net.JoinHostPort(host, port)}
		ph, pp := listenStreams(t, tr, p)
		part := large[:1_000_000]
		got := run(t, bytes.NewReader(part), socat, "-t", "2", "STDIO", fmt.Sprintf("OPENSSL:%s:%s,cafile=%s,commonname=localhost", ph, pp, id.certFile))
		sameBytes(t, part, []byte(got), "the echo")
	})
}

// TestRelaySocatLeaves has a client of socat killed in the middle: the target's connection ends, too.
func TestRelaySocatLeaves(t *testing.T) {
	socat := tool(t, "socat")
	relayBackends(t, 2, func(t *testing.T, tr tandem.Transport) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		p := &proxy{tr: tr, network: "tcp", target: l.Addr().String()}
		ph, pp := listenStreams(t, tr, p)
		c := exec.Command(socat, "-u", "/dev/zero", "TCP:"+net.JoinHostPort(ph, pp))
		require.NoError(t, c.Start())
		target, err := l.Accept()
		require.NoError(t, err)
		defer target.Close()
		_, err = io.CopyN(io.Discard, target, 1<<20)
		require.NoError(t, err)
		require.NoError(t, c.Process.Kill())
		_ = c.Wait()
		_ = target.SetReadDeadline(time.Now().Add(patience))
		_, err = io.Copy(io.Discard, target)
		assert.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the end of the target's connection")
		_ = target.Close()
		until(t, "the end of the relay", func() bool { return p.done.Load() == 1 })
	})
}

// iperfResult is a part of what iperf3 prints.
type iperfResult struct {
	End struct {
		Sent     struct{ Bytes float64 } `json:"sum_sent"`
		Received struct{ Bytes float64 } `json:"sum_received"`
	} `json:"end"`
	Error string `json:"error"`
}

// TestRelayIperf has iperf3 measure through a proxy, in each direction and in both, over several connections. Its server takes
// the first that comes for the one on which the client sends: so there is one loop, which keeps their order.
func TestRelayIperf(t *testing.T) {
	iperf := tool(t, "iperf3")
	relayBackends(t, 1, func(t *testing.T, tr tandem.Transport) {
		for _, flags := range [][]string{{"-n", "64M"}, {"-n", "64M", "-R"}, {"-n", "64M", "-P", "4"}, {"-t", "1", "--bidir"}} {
			host, port := freeAddress(t)
			start(t, exec.Command(iperf, "-s", "-B", host, "-p", port), syscall.SIGTERM, "tcp", net.JoinHostPort(host, port))
			p := &proxy{tr: tr, network: "tcp", target: net.JoinHostPort(host, port)}
			ph, pp := listenStreams(t, tr, p)
			args := append([]string{"-c", ph, "-p", pp, "-J"}, flags...)
			var got iperfResult
			until(t, fmt.Sprintf("a measurement with %v", flags), func() bool { // a server that was probed begins anew, and refuses meanwhile
				got = iperfResult{}
				require.NoError(t, json.Unmarshal([]byte(run(t, nil, iperf, args...)), &got), "%v", flags)
				return got.Error == ""
			})
			assert.GreaterOrEqual(t, got.End.Sent.Bytes, float64(1<<20), "%v: bytes sent", flags)
			assert.Positive(t, got.End.Received.Bytes, "%v: bytes received", flags)
			until(t, "the end of the relays", func() bool { return tr.Stats().Streams == 0 })
			assert.GreaterOrEqual(t, float64(p.fromA.Load()+p.fromB.Load()), got.End.Received.Bytes, "%v: bytes of the relays' figures", flags)
		}
	})
}
