package difftest

// Pair is two operations, one right behind the other.
type Pair [2]Kind

// Pairs are those of a program as it runs, without what was left out.
func (p Program) Pairs() map[Pair]bool {
	all := map[Pair]bool{}
	last := kinds
	for _, s := range plan(p).steps {
		for _, a := range s.ops {
			if last != kinds {
				all[Pair{last, a.Kind}] = true
			}
			last = a.Kind
		}
	}
	return all
}

// AllPairs are those that there are.
func AllPairs() (all []Pair) {
	for a := range kinds {
		for b := range kinds {
			all = append(all, Pair{a, b})
		}
	}
	return all
}
