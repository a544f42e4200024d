package tandemprom

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tandem-io/tandem"
)

// figure is one figure of some statistics: its name without tandem_, and how it is read.
type figure[S any] struct {
	name, help string
	kind       prometheus.ValueType
	value      func(s *S) float64
}

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

// loopFigures are those of loops, but for PostLag and LongestCallbackStream, which is no figure.
var loopFigures = []figure[tandem.LoopStats]{
	{"streams", "Streams that are connected.", gauge,
		func(s *tandem.LoopStats) float64 { return float64(s.Streams) }},
	{"parked_connections", "Accepted connections that wait for room below MaxConns, or for ResumeAccept.", gauge,
		func(s *tandem.LoopStats) float64 { return float64(s.Parked) }},
	{"streams_opened_total", "Streams whose OnOpen ran.", counter,
		func(s *tandem.LoopStats) float64 { return float64(s.Opened) }},
	{"streams_closed_total", "Streams whose OnClose ran.", counter,
		func(s *tandem.LoopStats) float64 { return float64(s.Closed) }},
	{"accepts_total", "Connections that were accepted.", counter,
		func(s *tandem.LoopStats) float64 { return float64(s.Accepts) }},
	{"accept_errors_total", "Accepts that failed.", counter,
		func(s *tandem.LoopStats) float64 { return float64(s.AcceptErrors) }},
	{"received_bytes_total", "Bytes received from the kernel.", counter,
		func(s *tandem.LoopStats) float64 { return float64(s.BytesIn) }},
	{"delivered_bytes_total", "Received bytes that handlers read.", counter,
		func(s *tandem.LoopStats) float64 { return float64(s.BytesDelivered) }},
	{"dropped_bytes_total", "Received bytes that were unread when their stream ended.", counter,
		func(s *tandem.LoopStats) float64 { return float64(s.BytesDropped) }},
	{"tls_overhead_bytes_total", "Received bytes that were no user's: TLS handshakes, and what encryption adds.", counter,
		func(s *tandem.LoopStats) float64 { return float64(s.TLSOverhead) }},
	{"copied_bytes_total", "Received bytes that were copied.", counter,
		func(s *tandem.LoopStats) float64 { return float64(s.BytesCopied) }},
	{"sent_bytes_total", "Bytes that the kernel took.", counter,
		func(s *tandem.LoopStats) float64 { return float64(s.BytesOut) }},
	{"reads_total", "Receives that brought bytes.", counter,
		func(s *tandem.LoopStats) float64 { return float64(s.Reads) }},
	{"writes_total", "Sends of which the kernel took bytes.", counter,
		func(s *tandem.LoopStats) float64 { return float64(s.Writes) }},
	{"direct_writes_total", "Sends that ran on the goroutine of the writer.", counter,
		func(s *tandem.LoopStats) float64 { return float64(s.DirectWrites) }},
	{"turns_total", "Turns of loops.", counter,
		func(s *tandem.LoopStats) float64 { return float64(s.Turns) }},
	{"polls_total", "Polls of the kernel for events.", counter,
		func(s *tandem.LoopStats) float64 { return float64(s.Polls) }},
	{"sleeps_total", "Polls that were allowed to block.", counter,
		func(s *tandem.LoopStats) float64 { return float64(s.Sleeps) }},
	{"system_calls_total", "System calls for sockets and polls.", counter,
		func(s *tandem.LoopStats) float64 { return float64(s.SystemCalls) }},
	{"submissions_total", "Requests handed to io_uring.", counter,
		func(s *tandem.LoopStats) float64 { return float64(s.Submissions) }},
	{"completions_total", "Completions of io_uring.", counter,
		func(s *tandem.LoopStats) float64 { return float64(s.Completions) }},
	{"no_buffers_total", "Receives by io_uring that found no buffer.", counter,
		func(s *tandem.LoopStats) float64 { return float64(s.NoBuffers) }},
	{"overflows_total", "Overflows of a completion queue of io_uring.", counter,
		func(s *tandem.LoopStats) float64 { return float64(s.Overflows) }},
	{"wake_ups_total", "Times that another goroutine woke a loop.", counter,
		func(s *tandem.LoopStats) float64 { return float64(s.WakeUps) }},
	{"timers_total", "Timers that fired.", counter,
		func(s *tandem.LoopStats) float64 { return float64(s.Timers) }},
	{"panics_total", "Panics caught in callbacks.", counter,
		func(s *tandem.LoopStats) float64 { return float64(s.Panics) }},
	{"slow_callbacks_total", "Callbacks that were found to run for longer than Options.SlowCallback.", counter,
		func(s *tandem.LoopStats) float64 { return float64(s.SlowCallbacks) }},
	{"tls_handshakes_total", "TLS handshakes that were done.", counter,
		func(s *tandem.LoopStats) float64 { return float64(s.TLSHandshakes) }},
	{"tls_handshake_errors_total", "TLS handshakes that failed.", counter,
		func(s *tandem.LoopStats) float64 { return float64(s.TLSHandshakeErrors) }},
	{"longest_turn_seconds", "How long the longest turn took, since the Transport was opened.", gauge,
		func(s *tandem.LoopStats) float64 { return s.LongestTurn.Seconds() }},
	{"longest_callback_seconds", "How long the longest callback for data took, since the Transport was opened.", gauge,
		func(s *tandem.LoopStats) float64 { return s.LongestCallback.Seconds() }},
	{"sockets", "Sockets that the kernel had at the loop's last sleep, or some turns ago.", gauge,
		func(s *tandem.LoopStats) float64 { return float64(s.Sockets) }},
	{"requests", "Requests of io_uring that were in flight at the loop's last sleep, or some turns ago.", gauge,
		func(s *tandem.LoopStats) float64 { return float64(s.Requests) }},
	{"buffers_taken", "Receive buffers that users had taken at the loop's last sleep, or some turns ago.", gauge,
		func(s *tandem.LoopStats) float64 { return float64(s.BuffersTaken) }},
	{"starved_sockets", "Sockets that waited for receive buffers of io_uring at the loop's last sleep, or some turns ago.", gauge,
		func(s *tandem.LoopStats) float64 { return float64(s.Starved) }},
}

// connFigures are those of net.Conns.
var connFigures = []figure[tandem.ConnStats]{
	{"conns", "Connections of ListenConn and DialConn that are open.", gauge,
		func(s *tandem.ConnStats) float64 { return float64(s.Open) }},
	{"conns_opened_total", "Connections that Accept or DialConn has made.", counter,
		func(s *tandem.ConnStats) float64 { return float64(s.Opened) }},
	{"conns_closed_total", "Connections of ListenConn and DialConn that were closed.", counter,
		func(s *tandem.ConnStats) float64 { return float64(s.Closed) }},
	{"conn_received_bytes_total", "Bytes received from the kernel by connections of ListenConn and DialConn.", counter,
		func(s *tandem.ConnStats) float64 { return float64(s.BytesIn) }},
	{"conn_sent_bytes_total", "Bytes that the kernel took from connections of ListenConn and DialConn.", counter,
		func(s *tandem.ConnStats) float64 { return float64(s.BytesOut) }},
}

// listenerFigures are those of listeners, but for what was rejected, which has the reason as a label.
var listenerFigures = []figure[tandem.ListenerStats]{
	{"listener_accepted_total", "Connections that were accepted.", counter,
		func(s *tandem.ListenerStats) float64 { return float64(s.Accepted) }},
	{"listener_errors_total", "Accepts that failed.", counter,
		func(s *tandem.ListenerStats) float64 { return float64(s.Errors) }},
	{"listener_backoffs_total", "Times that the listener waited for resources, such as descriptors.", counter,
		func(s *tandem.ListenerStats) float64 { return float64(s.Backoffs) }},
	{"listener_streams", "Streams of the listener; of ListenConn connections, those that wait for Accept included.", gauge,
		func(s *tandem.ListenerStats) float64 { return float64(s.Streams) }},
	{"listener_parked_connections", "Accepted connections that wait for room below MaxConns, or for ResumeAccept.", gauge,
		func(s *tandem.ListenerStats) float64 { return float64(s.Parked) }},
	{"listener_max_conns", "How many streams there may be; 0: no limit.", gauge,
		func(s *tandem.ListenerStats) float64 { return float64(s.MaxConns) }},
}
