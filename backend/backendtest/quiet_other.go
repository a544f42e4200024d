//go:build !linux

package backendtest

import (
	"github.com/tandem-io/tandem/session"
)

func quietErrorQueues(*Env) {}

func errorQueueBeforeConnect(*Env, *session.DialOptions) {}

func (*Env) deafListener() string { return "" }
