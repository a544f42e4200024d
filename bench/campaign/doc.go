// Package campaign carries out a run: it decides what is measured and in which order, starts the servers and the load
// generator as processes of their own, and collects their samples. Linux only, except for ExitUnsupported.
package campaign
