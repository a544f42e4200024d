//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/tandem-io/tandem"
)

func main() {
	if status, is := runChild(); is {
		os.Exit(status)
	}
	os.Exit(run(os.Args[1:], os.Stdout))
}

// options are the command line's.
type options struct {
	quick    bool
	json     string
	backends string
	attacks  string
	fault    string
	loops    int
	duration time.Duration
}

func parse(args []string) (*options, error) {
	o := &options{}
	f := flag.NewFlagSet("hostile", flag.ContinueOnError)
	f.BoolVar(&o.quick, "quick", false, "short attacks with fewer peers: less than 40 s for both backends")
	f.StringVar(&o.json, "json", "", "write all figures to this `file`")
	f.StringVar(&o.backends, "backend", "epoll,uring", "the `backends`, with commas between them")
	f.StringVar(&o.attacks, "attack", "", "only these `attacks`, with commas between them; default: all")
	f.IntVar(&o.loops, "loops", 2, "the server's `loops`")
	f.StringVar(&o.fault, "fault", "", "a server with this `fault`, to see that a bound notices it")
	f.Usage = func() {
		_, _ = fmt.Fprint(f.Output(), "usage: scripts/hostile.sh [FLAG ...] [DURATION]      default: 5m, for all attacks together;\n"+
			"with -quick it is that of each attack, and 250ms\n\n")
		f.PrintDefaults()
		_, _ = fmt.Fprintln(f.Output(), "\nattacks:")
		for _, a := range attacks {
			_, _ = fmt.Fprintf(f.Output(), "  %-18s %s\n", a.name, a.what)
		}
	}
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	var err error
	switch f.NArg() {
	case 0:
		o.duration = 5 * time.Minute
		if o.quick {
			o.duration = 250 * time.Millisecond
		}
	case 1:
		if o.duration, err = time.ParseDuration(f.Arg(0)); err == nil && o.duration <= 0 {
			err = errors.New("the duration must be positive")
		}
	default:
		err = errors.New("there is one argument, the duration")
	}
	return o, err
}

// run returns the exit status: 1 if a bound is broken, 2 if nothing could be found out.
func run(args []string, out io.Writer) int {
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	var plan []round
	if err == nil {
		plan, err = o.plan()
	}
	if err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "hostile: %v\n", err)
		return 2
	}
	r := &report{out: out}
	ran := 0
	for _, one := range plan {
		err := one.run(o, r)
		if errors.Is(err, errMissing) && os.Getenv("TANDEM_REQUIRE_URING") != "1" {
			_, _ = fmt.Fprintf(out, "\n%s: NOT TESTED: %v\n", one.backend, err)
			continue
		}
		if err != nil {
			r.fail("%s, %s limits: %v", one.backend, one.limits.Name, err)
		}
		ran++
	}
	r.table()
	if o.json != "" {
		if err := r.save(o.json); err != nil {
			r.fail("%v", err)
		}
	}
	if ran == 0 {
		return 2
	}
	return r.status
}

// round is a server, and what is tried on it.
type round struct {
	backend tandem.Backend
	limits  limits
	attacks []*attack
	timing  timing
}

// plan decides what is tried, for how long.
func (o *options) plan() ([]round, error) {
	chosen, err := o.chooseAttacks()
	if err != nil {
		return nil, err
	}
	var plan []round
	trials := 0
	add := func(b tandem.Backend, l limits, which []*attack) {
		if len(which) > 0 {
			plan = append(plan, round{backend: b, limits: l, attacks: which})
			trials += len(which)
		}
	}
	t := o.timing(1)
	for name := range strings.SplitSeq(o.backends, ",") {
		var b tandem.Backend
		if err := b.UnmarshalText([]byte(name)); err != nil || b == tandem.Auto {
			return nil, fmt.Errorf("the backend is %q; it must be epoll or uring", name)
		}
		add(b, recommended(t.patience), chosen)
		if o.quick {
			continue
		}
		var bare []*attack
		for _, a := range chosen {
			if a.defaults {
				bare = append(bare, a)
			}
		}
		add(b, defaults(), bare)
	}
	for i := range plan {
		plan[i].timing = o.timing(trials)
	}
	return plan, nil
}

// timing divides the duration among so many trials.
func (o *options) timing(trials int) timing {
	if o.quick {
		return timing{
			calm: 80 * time.Millisecond, attack: o.duration, quiet: 100 * time.Millisecond,
			patience: 200 * time.Millisecond, every: 10 * time.Millisecond, steady: 8,
			rest: 5 * time.Second,
		}
	}
	t := timing{
		calm: time.Second, quiet: time.Second, patience: 2 * time.Second, every: 20 * time.Millisecond, steady: 16,
		rest: 10 * time.Second,
	}
	const usual = 3 * time.Second // until the server is rid of its peers
	t.attack = max(o.duration/time.Duration(trials)-t.calm-t.quiet-usual, 500*time.Millisecond)
	return t
}

// chooseAttacks returns those that were asked for, with as many peers as this run has.
func (o *options) chooseAttacks() ([]*attack, error) {
	var chosen []*attack
	names := strings.Split(o.attacks, ",")
	if o.attacks == "" {
		names = nil
		for i := range attacks {
			names = append(names, attacks[i].name)
		}
	}
	for _, name := range names {
		a, err := findAttack(name)
		if err != nil {
			return nil, err
		}
		mine := *a
		if o.quick {
			mine.peers = (mine.peers + 1) / 2
		}
		chosen = append(chosen, &mine)
	}
	return chosen, nil
}

// run starts the server and attacks it.
func (one *round) run(o *options, r *report) error {
	g, err := startTarget(&serverTask{Backend: one.backend, Loops: o.loops, Limits: one.limits, Fault: o.fault}, one.timing)
	if err != nil {
		return err
	}
	defer g.stop()
	r.header(g)
	for _, a := range one.attacks {
		t := g.try(a)
		r.add(t)
		if t.Failure != "" {
			return nil // the server is gone, or is not what it was
		}
	}
	g.steady.stop()
	return g.end()
}
