package integration

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/tandem-io/tandem"
)

// The benchmarks compare servers over package net and over ListenConn, each a process of its own, asked in turn:
//
//	go -C scripts/integration test -run '^$' -bench . -benchtime 9x
//
// Each iteration asks all of them once. The metrics are medians of the ratios to package net within an iteration: of CPU
// time of the server's process for each request, and of requests a second.

// servingVariable names what this process serves if it is a server of a benchmark, such as "h2 uring".
const servingVariable = "TANDEM_BENCHMARK_SERVER"

func TestMain(m *testing.M) {
	if what := os.Getenv(servingVariable); what != "" {
		if err := serveBenchmark(what); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// serveBenchmark prints its address, and for each line of standard input the CPU time that this process has used.
func serveBenchmark(what string) error {
	protocol, listener, _ := strings.Cut(what, " ")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if listener != "net" {
		_ = l.Close()
		var tr tandem.Transport
		o := &tandem.Options{Logger: slog.New(slog.DiscardHandler)}
		if err = o.Backend.UnmarshalText([]byte(listener)); err != nil {
			return err
		}
		if tr, err = tandem.Open(o); err == nil {
			l, err = tandem.ListenConn(tr, "tcp", "127.0.0.1:0", nil)
		}
	}
	if err != nil {
		return err
	}
	if protocol == "grpc" {
		s := grpc.NewServer()
		pb.RegisterTestServiceServer(s, &calls{})
		go func() { _ = s.Serve(l) }()
	} else {
		h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
		go func() { _ = (&http.Server{Handler: h, Protocols: unencrypted()}).Serve(l) }()
	}
	fmt.Println(l.Addr())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			return err
		}
		fmt.Println(u.Utime.Nano() + u.Stime.Nano())
	}
	return nil
}

// child is such a server.
type child struct {
	address string
	in      io.Writer
	out     *bufio.Scanner
}

func startChild(b *testing.B, what string, procs int) *child {
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), servingVariable+"="+what, "GOMAXPROCS="+strconv.Itoa(procs))
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	require.NoError(b, err)
	out, err := c.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, c.Start())
	b.Cleanup(func() {
		_ = in.Close()
		require.NoError(b, c.Wait())
	})
	s := &child{in: in, out: bufio.NewScanner(out)}
	s.address = s.line(b)
	return s
}

func (c *child) line(b *testing.B) string {
	require.True(b, c.out.Scan(), "the server has ended")
	return c.out.Text()
}

// cpu is the CPU time that the server has used so far.
func (c *child) cpu(b *testing.B) time.Duration {
	_, err := io.WriteString(c.in, "\n")
	require.NoError(b, err)
	n, err := strconv.Atoi(c.line(b))
	require.NoError(b, err)
	return time.Duration(n)
}

const requests = 64 * 300 // of an iteration

// askH2 has h2load ask a server.
func askH2(b *testing.B, h2load, address string) {
	out, err := exec.CommandContext(b.Context(), h2load, "-n", strconv.Itoa(requests), "-c16", "-m10", "http://"+address+"/").CombinedOutput()
	require.NoError(b, err, "%s", out)
	require.Regexp(b, regexp.MustCompile(fmt.Sprintf(`%d succeeded, 0 failed`, requests)), string(out))
}

// askGRPC makes calls from 64 goroutines over 4 connections.
func askGRPC(b *testing.B, address string) {
	p := large[:100]
	var all sync.WaitGroup
	for range 4 {
		conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		require.NoError(b, err)
		defer conn.Close()
		c := pb.NewTestServiceClient(conn)
		for range 16 {
			all.Go(func() {
				for range requests / 64 {
					res, err := c.UnaryCall(context.Background(), &pb.SimpleRequest{Payload: &pb.Payload{Body: p}})
					if err != nil || len(res.GetPayload().GetBody()) != len(p) {
						panic(fmt.Sprint("a call failed: ", err))
					}
				}
			})
		}
	}
	all.Wait()
}

func BenchmarkHTTP2(b *testing.B) {
	h2load, err := exec.LookPath("h2load")
	if err != nil {
		b.Skipf("NOT MEASURED: %v", err)
	}
	compare(b, "h2", func(b *testing.B, address string) { askH2(b, h2load, address) })
}

func BenchmarkGRPC(b *testing.B) { compare(b, "grpc", askGRPC) }

// compare asks servers over package net and over both backends in turn.
func compare(b *testing.B, protocol string, ask func(b *testing.B, address string)) {
	for _, procs := range []int{1, 2} {
		b.Run(fmt.Sprintf("procs=%d", procs), func(b *testing.B) {
			listeners := []string{"net", "epoll", "uring"}
			all := map[string]*child{}
			for _, l := range listeners {
				all[l] = startChild(b, protocol+" "+l, procs)
				ask(b, all[l].address) // once, so that all is warm
			}
			cpus, rates := map[string][]float64{}, map[string][]float64{}
			for i := 0; b.Loop(); i++ {
				var cpu, rate [3]float64
				for j := range listeners {
					at := (i + j) % len(listeners) // another one is the first each time
					c := all[listeners[at]]
					before, from := c.cpu(b), time.Now()
					ask(b, c.address)
					rate[at] = requests / time.Since(from).Seconds()
					cpu[at] = float64(c.cpu(b)-before) / requests
				}
				for at, l := range listeners {
					over := func(v [3]float64) float64 {
						if at == 0 {
							return v[0]
						}
						return v[at] / v[0]
					}
					cpus[l], rates[l] = append(cpus[l], over(cpu)), append(rates[l], over(rate))
				}
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(cpus["net"]), "net-cpu-ns/req")
			b.ReportMetric(median(rates["net"]), "net-req/s")
			for _, l := range listeners[1:] {
				b.ReportMetric(median(cpus[l]), l+"-cpu/net")
				b.ReportMetric(median(rates[l]), l+"-rate/net")
			}
		})
	}
}

func median(v []float64) float64 {
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
