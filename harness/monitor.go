package harness

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// MonitorConfig says how often and how patiently members are asked. Zero values mean the default.
type MonitorConfig struct {
	Interval time.Duration // between two questions to one member, default 100 ms
	Timeout  time.Duration // of one question, default 500 ms
	// Now is the clock of the history, so that both can be drawn on one axis. Default: time since Watch.
	Now func() time.Duration
	// Sample, if set, is given every sample as it comes, from one goroutine at a time: for status.jsonl.
	Sample func(Sample)
}

// Sample is what one member said of itself, or why it did not.
type Sample struct {
	At     time.Duration `json:"at_ns"` // when the answer came
	Node   string        `json:"node"`
	Status *Status       `json:"status,omitempty"`
	Error  string        `json:"error,omitempty"`
}

// Rule names what must never happen, whatever is done to the cluster (Figure 3 of the paper, seen from outside).
type Rule string

const (
	OneLeaderPerTerm Rule = "one leader per term"
	CommitMonotonic  Rule = "commit index never goes back while a process lives"
	EqualStateHash   Rule = "equal state hash at equal applied index"
)

// Finding is one broken Rule, with what shows it.
type Finding struct {
	At   time.Duration `json:"at_ns"`
	Rule Rule          `json:"rule"`
	Text string        `json:"text"`
}

// Election is a term in which some member called itself leader, and when that was first seen.
type Election struct {
	At   time.Duration `json:"at_ns"`
	Term uint64        `json:"term"`
	Node string        `json:"node"`
}

// Term is one that a majority of the members had reached, and when that was first seen. One that only a minority names moves
// nobody: a member that is cut off may raise its own for ever.
type Term struct {
	At   time.Duration `json:"at_ns"`
	Term uint64        `json:"term"`
}

// Interval is a stretch of time. To is zero while it lasts.
type Interval struct {
	From time.Duration `json:"from_ns"`
	To   time.Duration `json:"to_ns"`
}

// Observed is what a Monitor has seen. It sees only what lasts longer than its interval: a leader of 50 ms may
// be missed, a hash is compared only where two members were seen at the same index. Nothing in Findings is
// a guess, but no findings is no proof.
type Observed struct {
	Samples    int           `json:"samples"`
	Failed     int           `json:"failed"` // questions without an answer
	Elections  []Election    `json:"elections"`
	Terms      []Term        `json:"terms"`
	Leaderless []Interval    `json:"leaderless"` // no member that answers leads in a term that a majority has not left
	Without    time.Duration `json:"without_leader_ns"`
	Compared   int           `json:"hashes_compared"` // how often two members were seen at the same index
	// What answers differ in, without which a comparison says nothing: applied indexes, those of them with a hash, hashes. And the
	// greatest commit index.
	Applied  int               `json:"applied_indexes"`
	Hashed   int               `json:"hashed_indexes"`
	Hashes   int               `json:"hashes"`
	Commit   uint64            `json:"commit"`
	Findings []Finding         `json:"findings"`
	Last     map[string]Sample `json:"last"`
}

// Monitor asks every member for its status again and again, each on its own goroutine and connection, until it
// is stopped.
type Monitor struct {
	cluster   Cluster
	inspector Inspector
	config    MonitorConfig
	cancel    context.CancelFunc
	askers    sync.WaitGroup

	mu   sync.Mutex
	seen Observed
	view view
}

// view is what the samples have shown so far; owned by Monitor.mu.
type view struct {
	terms   map[string]uint64 // highest that each member has named
	leaders map[uint64]string // who led in a term
	hashes  map[uint64]hashAt // the hash of the state at an applied index, and who said so
	applied map[uint64]bool   // applied indexes that were told
	states  map[string]bool   // hashes that were told
	claims  map[string]uint64 // term in which a member that answers calls itself leader now
	lives   map[string]life   // the process that each member's numbers belong to
	open    bool              // the last Leaderless interval goes on
}

type hashAt struct{ hash, node string }

// life is one process of a member. A restarted member may begin with a lower commit index.
type life struct {
	started time.Time
	commit  uint64
}

// Watch starts to ask. The error is ErrUnsupported where the System is no Inspector.
func Watch(ctx context.Context, c Cluster, s System, config MonitorConfig) (*Monitor, error) {
	inspector, ok := s.(Inspector)
	if !ok {
		return nil, fmt.Errorf("%w: %s does not tell its members' status", ErrUnsupported, s.Name())
	}
	if config.Interval <= 0 {
		config.Interval = 100 * time.Millisecond
	}
	if config.Timeout <= 0 {
		config.Timeout = inspectTimeout
	}
	if config.Now == nil {
		began := time.Now()
		config.Now = func() time.Duration { return time.Since(began) }
	}
	ctx, cancel := context.WithCancel(ctx)
	m := &Monitor{cluster: c, inspector: inspector, config: config, cancel: cancel}
	m.seen.Last = map[string]Sample{}
	m.view = view{terms: map[string]uint64{}, leaders: map[uint64]string{}, hashes: map[uint64]hashAt{}, applied: map[uint64]bool{},
		states: map[string]bool{}, claims: map[string]uint64{}, lives: map[string]life{}}
	m.view.open = true
	m.seen.Leaderless = []Interval{{From: config.Now()}}
	watched := map[string]context.CancelFunc{}
	m.follow(ctx, watched)
	m.askers.Go(func() {
		ticker := time.NewTicker(config.Interval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				m.follow(ctx, watched)
			}
		}
	})
	return m, nil
}

// follow starts an asker for each member that has none, and ends those of members that were dropped.
func (m *Monitor) follow(ctx context.Context, watched map[string]context.CancelFunc) {
	members := Names(m.cluster)
	for node, leave := range watched {
		if !slices.Contains(members, node) {
			leave()
			delete(watched, node)
		}
	}
	for _, node := range members {
		if watched[node] != nil {
			continue
		}
		asking, leave := context.WithCancel(ctx)
		watched[node] = leave
		m.askers.Go(func() {
			m.watch(asking, node)
			if ctx.Err() == nil { // at Stop it led until the end, whoever is asked last
				m.lose(node)
			}
		})
	}
}

// lose forgets what a member claims that was dropped from the cluster, and so is asked no more.
func (m *Monitor) lose(node string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.view.claims, node)
	delete(m.view.terms, node)
}

// Stop ends the questions, waits for the askers, and returns all that was seen.
func (m *Monitor) Stop() Observed {
	m.cancel()
	m.askers.Wait()
	m.mu.Lock()
	if m.view.open {
		m.closeLeaderless(m.config.Now())
	}
	m.mu.Unlock()
	return m.Observed()
}

// Led is the member that was seen elected last, empty where none was.
func (m *Monitor) Led() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.seen.Elections) == 0 {
		return ""
	}
	return m.seen.Elections[len(m.seen.Elections)-1].Node
}

// Observed returns what was seen so far. An interval without a leader that still lasts has no To, and counts
// up to now in Without.
func (m *Monitor) Observed() Observed {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := m.seen
	o.Elections, o.Terms = slices.Clone(o.Elections), slices.Clone(o.Terms)
	o.Leaderless = slices.Clone(o.Leaderless)
	o.Findings = slices.Clone(o.Findings)
	o.Last = map[string]Sample{}
	for node, sample := range m.seen.Last {
		o.Last[node] = sample
	}
	for _, gap := range o.Leaderless {
		to := gap.To
		if to == 0 {
			to = m.config.Now()
		}
		o.Without += to - gap.From
	}
	return o
}

func (m *Monitor) watch(ctx context.Context, node string) {
	var started time.Time // of the process that answers; zero: look before the next question
	ticker := time.NewTicker(m.config.Interval)
	defer ticker.Stop()
	for {
		if started.IsZero() {
			started = m.born(ctx, node)
		}
		status, err := m.ask(ctx, node)
		if ctx.Err() != nil {
			return
		}
		if err == nil && m.wentBack(node, status) {
			started = m.born(ctx, node) // perhaps another process answers by now
		}
		m.take(node, started, status, err)
		if err != nil {
			started = time.Time{}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (m *Monitor) ask(ctx context.Context, node string) (Status, error) {
	ctx, cancel := context.WithTimeout(ctx, m.config.Timeout)
	defer cancel()
	endpoint, err := m.cluster.Endpoint(ctx, node)
	if err != nil {
		return Status{}, err
	}
	return m.inspector.Inspect(ctx, endpoint)
}

// born is when the member's process was started, zero where it has none or that cannot be read.
func (m *Monitor) born(ctx context.Context, node string) time.Time {
	ctx, cancel := context.WithTimeout(ctx, m.config.Timeout)
	defer cancel()
	probe, err := m.cluster.Probe(ctx, node)
	if err != nil {
		return time.Time{}
	}
	return probe.Started
}

func (m *Monitor) wentBack(node string, status Status) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return status.Commit < m.view.lives[node].commit
}

// take adds one answer. started is when the process was born that was there last time somebody looked.
func (m *Monitor) take(node string, started time.Time, status Status, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.config.Now()
	sample := Sample{At: now, Node: node}
	m.seen.Samples++
	if err != nil {
		m.seen.Failed++
		sample.Error = err.Error()
		delete(m.view.claims, node)
	} else {
		sample.Status = &status
		m.noteTerm(now, node, status.Term)
		m.distinguish(status)
		m.judgeLeader(now, node, status)
		m.judgeHash(now, node, status)
		m.judgeCommit(now, node, started, status)
	}
	m.judgeAvailability(now)
	m.seen.Last[node] = sample
	if m.config.Sample != nil {
		m.config.Sample(sample)
	}
}

func (m *Monitor) judgeAvailability(now time.Duration) {
	led, reached := false, uint64(0)
	if n := len(m.seen.Terms); n > 0 {
		reached = m.seen.Terms[n-1].Term
	}
	for _, term := range m.view.claims {
		led = led || term >= reached
	}
	switch {
	case led && m.view.open:
		m.closeLeaderless(now)
	case !led && !m.view.open:
		m.view.open = true
		m.seen.Leaderless = append(m.seen.Leaderless, Interval{From: now})
	}
}

func (m *Monitor) closeLeaderless(now time.Duration) {
	m.view.open = false
	m.seen.Leaderless[len(m.seen.Leaderless)-1].To = now
}

func (m *Monitor) find(now time.Duration, rule Rule, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	for _, f := range m.seen.Findings {
		if f.Rule == rule && f.Text == text {
			return // seen again at every sample
		}
	}
	m.seen.Findings = append(m.seen.Findings, Finding{At: now, Rule: rule, Text: text})
}
