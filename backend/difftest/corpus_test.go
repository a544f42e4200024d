package difftest_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend/difftest"
)

const corpus = "testdata/fuzz/FuzzDifferential"

// TestCorpus checks that the seeds of FuzzDifferential have each pair of operations next to each other somewhere. With
// TANDEM_DIFF_CORPUS=1 it writes them anew.
func TestCorpus(t *testing.T) {
	if os.Getenv("TANDEM_DIFF_CORPUS") == "1" {
		writeCorpus(t)
	}
	files, err := filepath.Glob(filepath.Join(corpus, "*"))
	require.NoError(t, err)
	missing := map[difftest.Pair]bool{}
	for _, p := range difftest.AllPairs() {
		missing[p] = true
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		_, quoted, _ := strings.Cut(string(b), "[]byte(")
		text, err := strconv.Unquote(strings.TrimSuffix(strings.TrimSpace(quoted), ")"))
		require.NoError(t, err, name)
		for p := range difftest.Decode([]byte(text)).Pairs() {
			delete(missing, p)
		}
	}
	assert.Empty(t, missing, "pairs of operations that no seed has")
}

// writeCorpus writes programs until each pair is in one.
func writeCorpus(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	had := map[difftest.Pair]bool{}
	require.NoError(t, os.RemoveAll(corpus))
	require.NoError(t, os.MkdirAll(corpus, 0o755))
	for tries, written := 0, 0; len(had) < len(difftest.AllPairs()) && tries < 3000; tries++ {
		p, found := missingPairs(r, had)
		if found < max(1, 30-2*tries) {
			continue
		}
		for q := range p.Pairs() {
			had[q] = true
		}
		written++
		text := fmt.Sprintf("go test fuzz v1\n[]byte(%q)\n", p.Encode())
		require.NoError(t, os.WriteFile(filepath.Join(corpus, fmt.Sprintf("pairs-%03d", written)), []byte(text), 0o644))
		t.Logf("%d programs, %d pairs", written, len(had))
	}
}

// missingPairs makes a program with many pairs that no other has: it appends what adds some, of several operations at
// each place. One stream is detached first.
func missingPairs(r *rand.Rand, had map[difftest.Pair]bool) (p difftest.Program, found int) {
	p = difftest.Random(r)
	for len(p.Streams) < 3 {
		p = difftest.Random(r)
	}
	for i := range p.Streams {
		p.Streams[i].AllowHalfClose = true
	}
	p.Ops = []difftest.Op{{Kind: difftest.Detach, Stream: 2, Place: difftest.InPost}}
	count := func() (n int) {
		for q := range p.Pairs() {
			if !had[q] {
				n++
			}
		}
		return n
	}
	for len(p.Ops) < 46 {
		best, most := difftest.Op{}, -1
		for range 25 {
			o := difftest.Random(r).Ops[0]
			o.Kind = difftest.AllPairs()[r.IntN(len(difftest.AllPairs()))][0]
			o.Stream = r.IntN(3)
			p.Ops = append(p.Ops, o)
			n := count()
			p.Ops = p.Ops[:len(p.Ops)-1]
			if n > most {
				best, most = o, n
			}
		}
		p.Ops = append(p.Ops, best)
		found = most
	}
	return p, found
}
