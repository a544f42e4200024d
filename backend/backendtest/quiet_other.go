//go:build !linux

package backendtest

import "github.com/tandem-io/tandem"

func quietErrorQueues(*Env) {}

func errorQueueBeforeConnect(*Env, *tandem.DialOptions) {}

func (*Env) deafListener() string { return "" }
