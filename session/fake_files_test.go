package session

import (
	"os"

	"github.com/tandem-io/tandem/backend"
)

// fakeFiles passes files over the sockets of a fakeKernel, if it does so at all.
type fakeFiles struct {
	passes bool
	kernel *fakeKernel
	full   error // of sends with files, instead of sending
	made   int   // duplicates
	gone   []int
	passed []int // with which byte each file went
}

func (k *fakeFiles) PassesFiles() bool { return k.passes }

func (k *fakeFiles) DuplicateFiles(files []*os.File) (all []backend.Descriptor, err error) {
	for range files {
		all = append(all, backend.NewDescriptor(k.made))
		k.made++
	}
	return all, nil
}

func (k *fakeFiles) OpenFiles(files []backend.Descriptor) []*os.File {
	return make([]*os.File, len(files))
}

func (k *fakeFiles) CloseFiles(files []backend.Descriptor) {
	for _, d := range files {
		k.gone = append(k.gone, d.FD())
	}
}

func (k *fakeFiles) TrySendFiles(d backend.Descriptor, bufs [][]byte, files []backend.Descriptor) (int, error) {
	if k.full != nil {
		return 0, k.full
	}
	at := len(k.kernel.of(d).out)
	n, err := k.kernel.TrySendVector(d, bufs)
	if n > 0 {
		for range files {
			k.passed = append(k.passed, at)
		}
	}
	return n, err
}

func (k *fakeFiles) TryReceiveFiles(d backend.Descriptor, p []byte, _ int) (int, backend.Received, error) {
	n, err := k.kernel.TryReceive(d, p)
	return n, backend.Received{}, err
}
