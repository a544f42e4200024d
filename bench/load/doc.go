// Package load is the load generator: one thread that sends to a server, checks every byte that comes back, and measures.
// Linux only.
package load
