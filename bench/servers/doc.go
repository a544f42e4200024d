// Package servers holds the servers that are measured: two floors on raw system calls, package net, this library, and
// other libraries. Linux only.
package servers
