package harness

import (
	"sync"
	"time"

	"raftlab/linearizability"
)

// Tally counts outcomes.
type Tally struct {
	OK      int `json:"ok"`
	Failed  int `json:"failed"`
	Unknown int `json:"unknown"`
}

// Total is the number of operations.
func (t Tally) Total() int { return t.OK + t.Failed + t.Unknown }

func (t *Tally) add(outcome linearizability.Outcome) {
	switch outcome {
	case linearizability.OK:
		t.OK++
	case linearizability.Failed:
		t.Failed++
	default: // also what never returned: who does not know must not conclude
		t.Unknown++
	}
}

// PhaseCounts is what happened to the operations that were called in one phase.
type PhaseCounts struct {
	Phase string                         `json:"phase"`
	Total Tally                          `json:"total"`
	Kinds map[linearizability.Kind]Tally `json:"kinds"`
}

// Counts is what a load has seen.
type Counts struct {
	Total  Tally         `json:"total"`
	Phases []PhaseCounts `json:"phases"` // in the order in which they began
	// LongestGap is, per client, the longest time in which nothing that it asked was answered with ok.
	LongestGap map[int]time.Duration `json:"longest_gap_ns"`
	Elapsed    time.Duration         `json:"elapsed_ns"`
}

// Phase finds the counts of a phase by its name.
func (c Counts) Phase(name string) (PhaseCounts, bool) {
	for _, p := range c.Phases {
		if p.Phase == name {
			return p, true
		}
	}
	return PhaseCounts{Phase: name}, false
}

// tally is owned by a load and safe for its clients.
type tally struct {
	mu      sync.Mutex
	began   time.Time
	ended   time.Time
	current string
	phases  []*PhaseCounts
	lastOK  map[int]time.Time
	gap     map[int]time.Duration
}

func newTally(clients int) *tally {
	t := &tally{began: time.Now(), lastOK: map[int]time.Time{}, gap: map[int]time.Duration{}}
	for i := range clients {
		t.lastOK[i] = t.began
	}
	return t
}

func (t *tally) enter(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.current = name
	t.find(name)
}

func (t *tally) phase() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.current
}

func (t *tally) find(name string) *PhaseCounts {
	for _, p := range t.phases {
		if p.Phase == name {
			return p
		}
	}
	p := &PhaseCounts{Phase: name, Kinds: map[linearizability.Kind]Tally{}}
	t.phases = append(t.phases, p)
	return p
}

func (t *tally) add(op linearizability.Operation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.find(op.Phase)
	p.Total.add(op.Outcome)
	kind := p.Kinds[op.Kind]
	kind.add(op.Outcome)
	p.Kinds[op.Kind] = kind
	if op.Outcome != linearizability.OK {
		return
	}
	now := time.Now()
	if last, ok := t.lastOK[op.Client]; ok {
		t.gap[op.Client] = max(t.gap[op.Client], now.Sub(last))
	}
	t.lastOK[op.Client] = now
}

// end fixes the time up to which the gaps are counted.
func (t *tally) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended.IsZero() {
		t.ended = time.Now()
	}
}

func (t *tally) counts() Counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	until := t.ended
	if until.IsZero() {
		until = time.Now()
	}
	c := Counts{LongestGap: map[int]time.Duration{}, Elapsed: until.Sub(t.began)}
	for _, p := range t.phases {
		kinds := map[linearizability.Kind]Tally{}
		for kind, tally := range p.Kinds {
			kinds[kind] = tally
			c.Total.OK += tally.OK
			c.Total.Failed += tally.Failed
			c.Total.Unknown += tally.Unknown
		}
		c.Phases = append(c.Phases, PhaseCounts{Phase: p.Phase, Total: p.Total, Kinds: kinds})
	}
	for client, last := range t.lastOK {
		c.LongestGap[client] = max(t.gap[client], until.Sub(last)) // a client that is silent since is in its longest gap
	}
	return c
}
