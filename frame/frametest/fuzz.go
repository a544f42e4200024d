package frametest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
)

// Fuzz decodes what a peer may send: in one piece, and cut where cuts says, each number of bytes behind the last cut. The
// outcomes must be the same, and messages that come out must come out again when they are encoded. It is for fuzz targets.
// Of more data than 4 KiB, which only takes longer, it uses the beginning.
func (s Subject[M]) Fuzz(data, cuts []byte) error {
	data = data[:min(len(data), 4096)]
	whole, err := s.Decode(data, nil, false)
	if err != nil {
		return fmt.Errorf("%.500q: %w", data, err)
	}
	at := places(cuts, len(data))
	for _, patient := range []bool{false, true} {
		if err := s.same(data, at, patient, whole); err != nil {
			return err
		}
	}
	if len(data) <= 256 {
		if err := s.same(data, Everywhere(len(data)), false, whole); err != nil {
			return err
		}
	}
	again, err := s.encode(whole.Messages...)
	if err != nil {
		return fmt.Errorf("%.500q has a message that cannot be encoded: %w", data, err)
	}
	got, err := s.Decode(again, nil, false)
	if err == nil {
		if got.Err != nil && errors.Is(got.Err, io.ErrUnexpectedEOF) {
			got.Err = nil // the last of them is a part of something larger
		}
		err = s.Compare(got, Outcome[M]{Messages: whole.Messages})
	}
	if err != nil {
		return fmt.Errorf("messages of %.500q, encoded again as %.500q: %w", data, again, err)
	}
	return nil
}

// places turns bytes into places where n bytes are cut, each so far behind the last one.
func places(cuts []byte, n int) (at []int) {
	sum := 0
	for _, c := range cuts {
		if sum += int(c); sum > n {
			break
		}
		at = append(at, sum)
	}
	return at
}

// mostAllocated is how much memory Decoders may allocate for what anyBytes makes, in bytes.
const mostAllocated = 1 << 20

// anyBytes decodes what is hardly a message: bytes without a meaning, and frames that were changed.
func anyBytes[M any](s Subject[M]) error {
	r := rand.New(rand.NewPCG(3, 4))
	var all [][]byte
	for range 500 {
		data := someBytes(r, r.IntN(60))
		if r.IntN(3) > 0 {
			stream, err := s.encode(s.Message(data[:len(data)/2]), s.Message(data[len(data)/2:]))
			if err != nil {
				return err
			}
			data = changed(r, stream)
		}
		if err := s.Fuzz(data, someBytes(r, r.IntN(5))); err != nil {
			return err
		}
		all = append(all, data)
	}
	if n := s.allocated(all); n > mostAllocated {
		return fmt.Errorf("for %d times some bytes of which most are wrong, Decoders have allocated %d bytes", len(all), n)
	}
	return nil
}

// changed is a stream with some bytes overwritten, inserted or removed.
func changed(r *rand.Rand, stream []byte) []byte {
	stream = bytes.Clone(stream)
	for range 1 + r.IntN(3) {
		at := r.IntN(len(stream) + 1)
		switch some := someBytes(r, 1+r.IntN(3)); r.IntN(3) {
		case 0:
			copy(stream[at:], some)
		case 1:
			stream = append(stream[:at:at], append(some, stream[at:]...)...)
		default:
			stream = append(stream[:at], stream[min(len(stream), at+len(some)):]...)
		}
	}
	return stream
}

// allocated returns how many bytes Decoders allocate, one for each piece of data. Other goroutines allocate, too: if that is
// much, it looks again.
func (s Subject[M]) allocated(all [][]byte) (least uint64) {
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for _, data := range all {
			_, _, _, _ = s.Codec.NewDecoder().Decode(data)
		}
		runtime.ReadMemStats(&after)
		if least = after.TotalAlloc - before.TotalAlloc; least <= mostAllocated {
			break
		}
	}
	return least
}
