package tandem_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/backend"
)

// A function at the root makes the option of that name.
func TestSocketOptionFunctions(t *testing.T) {
	const d = 3 * time.Second
	for name, pair := range map[string][2]tandem.SocketOption{
		"NoDelay":            {tandem.NoDelay(true), backend.NoDelay(true)},
		"QuickAck":           {tandem.QuickAck(true), backend.QuickAck(true)},
		"Timestamp":          {tandem.Timestamp(true), backend.Timestamp(true)},
		"ReuseAddress":       {tandem.ReuseAddress(true), backend.ReuseAddress(true)},
		"ReusePortGroup":     {tandem.ReusePortGroup(true), backend.ReusePortGroup(true)},
		"FastOpenConnect":    {tandem.FastOpenConnect(true), backend.FastOpenConnect(true)},
		"V6Only":             {tandem.V6Only(true), backend.V6Only(true)},
		"Mark":               {tandem.Mark(7), backend.Mark(7)},
		"Priority":           {tandem.Priority(7), backend.Priority(7)},
		"TypeOfService":      {tandem.TypeOfService(7), backend.TypeOfService(7)},
		"FastOpen":           {tandem.FastOpen(7), backend.FastOpen(7)},
		"ReceiveBuffer":      {tandem.ReceiveBuffer(7), backend.ReceiveBuffer(7)},
		"ReceiveBufferForce": {tandem.ReceiveBufferForce(7), backend.ReceiveBufferForce(7)},
		"ReceiveLowWater":    {tandem.ReceiveLowWater(7), backend.ReceiveLowWater(7)},
		"SendBuffer":         {tandem.SendBuffer(7), backend.SendBuffer(7)},
		"SendBufferForce":    {tandem.SendBufferForce(7), backend.SendBufferForce(7)},
		"NotSentLowWater":    {tandem.NotSentLowWater(7), backend.NotSentLowWater(7)},
		"Linger":             {tandem.Linger(d), backend.Linger(d)},
		"UserTimeout":        {tandem.UserTimeout(d), backend.UserTimeout(d)},
		"DeferAccept":        {tandem.DeferAccept(d), backend.DeferAccept(d)},
		"BusyPoll":           {tandem.BusyPoll(d), backend.BusyPoll(d)},
		"KeepAlive":          {tandem.KeepAlive(d, d, 7), backend.KeepAlive(d, d, 7)},
		"KeepAliveOff":       {tandem.KeepAliveOff(), backend.KeepAliveOff()},
		"BindToDevice":       {tandem.BindToDevice("lo"), backend.BindToDevice("lo")},
		"Congestion":         {tandem.Congestion("cubic"), backend.Congestion("cubic")},
	} {
		assert.Equal(t, pair[1], pair[0], name)
		assert.NotEqual(t, tandem.SocketOption{}, pair[0], name)
	}
}
