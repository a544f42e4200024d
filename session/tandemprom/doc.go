// Package tandemprom shows the figures of a tandem.Transport to Prometheus.
//
//	t, err := tandem.Open(nil)
//	…
//	figures := tandemprom.New(t, nil)
//	prometheus.MustRegister(figures)
//	l, err := t.Listen("tcp", ":7000", h, nil)
//	…
//	figures.Add(l)
//	http.Handle("/metrics", promhttp.Handler())
//
// All metrics have names that begin with tandem_, base units, and the label backend. They are of all loops together, or of
// each, with the label loop, if Options.PerLoop is set. Those of listeners that were given to Add have the label listener, with
// the address. It is a module of its own, so that programs without Prometheus do not get its dependencies.
//
//	tandem_streams, tandem_streams_opened_total, tandem_streams_closed_total      connections
//	tandem_accepts_total, tandem_accept_errors_total, tandem_parked_connections
//	tandem_received_bytes_total, tandem_sent_bytes_total, …                       bytes
//	tandem_reads_total, tandem_writes_total, tandem_system_calls_total, …         work of the loops
//	tandem_longest_turn_seconds, tandem_longest_callback_seconds                  since the Transport was opened
//	tandem_post_lag_seconds                                                       a histogram: how long posted work waited
//	tandem_conns, tandem_conn_received_bytes_total, …                             connections of ListenConn and DialConn
//	tandem_listener_accepted_total, tandem_listener_rejected_total, …             listeners
//	tandem_info                                                                   1, with the kernel as a label
//
// Every figure of tandem.Stats and tandem.ListenerStats is among them; the help text of each says what it counts.
package tandemprom
