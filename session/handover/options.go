package handover

import (
	"errors"
	"fmt"
)

// Options are those of a [Giver] or a [Taker]. The zero value is right.
type Options struct {
	// MaxMessage bounds what one item may bring, in bytes: its names, its state, and what is unread and unsent. Of a Taker
	// it also bounds the sum over all items that are on their way, and so its memory. The smaller one of both processes
	// holds. Default 32 MiB; at least 4 KiB and at most 1 GiB.
	MaxMessage int
}

func (o *Options) complete() (Options, error) {
	var mine Options
	if o != nil {
		mine = *o
	}
	if mine.MaxMessage == 0 {
		mine.MaxMessage = defaultMessage
	}
	if mine.MaxMessage < 4<<10 || mine.MaxMessage > 1<<30 {
		return mine, fmt.Errorf("handover: Options.MaxMessage is %d; it must be 4 KiB to 1 GiB, or 0 for 32 MiB", mine.MaxMessage)
	}
	return mine, nil
}

// ErrTooLarge is the error of an item that brings more than MaxMessage bytes, or a name of more than 255.
var ErrTooLarge = errors.New("handover: the item is larger than the new process allows")
