// Package workload names what a server can be asked for: the kinds of load, the modes of the servers, and the few bytes on
// which server and load generator have to agree.
package workload
