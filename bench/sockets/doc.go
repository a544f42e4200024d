// Package sockets opens TCP sockets with raw system calls, for the servers and the load generator that do without package
// net. Linux only.
package sockets
