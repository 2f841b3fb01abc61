package chaos

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"raftlab/harness"
	"raftlab/internal/nearest"
)

// Scenario is a named way to draw a Schedule from a seed.
type Scenario struct {
	Name  string
	Shows string // one sentence for `raftlab list`
	steps []step
	total time.Duration // without steps: faults are composed for so long
	Load  Load          // zero fields: what a run has without it
}

// Load says who asks while things break. Some mistakes show only to many clients, or to clients that go on asking the
// member that is broken.
type Load struct {
	Clients int     `json:"clients"`
	Keys    int     `json:"keys"` // in use at a time
	Rate    float64 `json:"rate"` // operations per second over all clients
	// AtLeader is how many of the clients ask the member that leads, and the leader that was hit while it is hit.
	AtLeader int `json:"at_leader"`
}

// DefaultLoad is what a run has where nothing else is said.
var DefaultLoad = Load{Clients: 10, Keys: 10, Rate: 100}

// Or fills in what l leaves open.
func (l Load) Or(other Load) Load {
	l.Clients, l.Keys = cmp.Or(l.Clients, other.Clients), cmp.Or(l.Keys, other.Keys)
	l.Rate, l.AtLeader = cmp.Or(l.Rate, other.Rate), cmp.Or(l.AtLeader, other.AtLeader)
	return l
}

// step is a fault that lasts from shortest up to longest, drawn from the seed.
type step struct {
	fault             string // as in a schedule
	shortest, longest time.Duration
	// over is how long before the end of the step before it this one begins; zero: some quiet time after it.
	over time.Duration
	// after is how long after the beginning of the step before it this one begins, whatever that one does.
	after time.Duration
	when  string // a trigger instead of a time, as in a schedule
}

// A leader that is cut off or killed is followed by an election within about 1.5 election time-outs (0.5 s
// each) and must then be seen serving, so its window is several times that. A pause must be longer than any
// election time-out.
var (
	cutLeader      = step{fault: "partition leader", shortest: 4 * time.Second, longest: 5 * time.Second}
	killLeader     = step{fault: "crash leader", shortest: 3 * time.Second, longest: 4 * time.Second}
	pauseFollower  = step{fault: "pause follower", shortest: 2 * time.Second, longest: 3 * time.Second}
	cutMinority    = step{fault: "partition leader-minority", shortest: 4 * time.Second, longest: 5 * time.Second}
	cutBusyLeader  = step{fault: "partition leader", shortest: 2500 * time.Millisecond, longest: 3 * time.Second}
	pauseLeader    = step{fault: "pause leader", shortest: 2500 * time.Millisecond, longest: 3500 * time.Millisecond}
	killAll        = step{fault: "crash all", shortest: 500 * time.Millisecond, longest: time.Second}
	quietShortest  = 1500 * time.Millisecond
	quietLongest   = 2500 * time.Millisecond
	durationsRound = 10 * time.Millisecond
)

// Scenarios are the ones that ship, in the order in which `raftlab list` prints them. The file of a family adds its own in
// an init function.
var Scenarios = []Scenario{
	{Name: "default", Shows: "isolate the leader, heal; kill the leader, restart; pause a follower, resume",
		steps: []step{cutLeader, killLeader, pauseFollower}},
	{Name: "partition-leader", Shows: "cut the leader from its peers but not from its many clients, five times",
		steps: []step{cutBusyLeader, cutBusyLeader, cutBusyLeader, cutBusyLeader, cutBusyLeader},
		Load:  Load{Clients: 32, Keys: 16, Rate: 600, AtLeader: 20}},
	{Name: "partition-minority", Shows: "cut the leader with one more from the other three, twice", steps: []step{cutMinority, cutMinority}},
	{Name: "halves", Shows: "cut half of the members from the other half, three times",
		steps: repeat(3, during("partition half", 4*time.Second))},
	{Name: "partition-ring", Shows: "everybody hears a majority and nobody the same one, twice; of four members or more",
		steps: repeat(2, during("ring all", 8*time.Second))},
	{Name: "bridge", Shows: "two halves that hear each other only through a follower; then everybody hears only that one",
		steps: []step{during("bridge follower", 5*time.Second), during("bridge follower parts=9", 5*time.Second)}},
	{Name: "one-way", Shows: "nobody hears the leader; the leader hears nobody; a follower hears nobody",
		steps: []step{during("one-way leader", 4*time.Second), during("one-way leader direction=in", 4*time.Second),
			during("one-way follower direction=in", 4*time.Second)}},
	{Name: "client-cut", Shows: "cut the clients from the leader, and then from a follower, whose peers still hear them",
		steps: []step{during("client-cut leader", 3*time.Second), during("client-cut follower", 3*time.Second)}},
	{Name: "kill-leader", Shows: "SIGKILL the leader and start it again, twice", steps: []step{killLeader, killLeader}},
	{Name: "kill-all", Shows: "SIGKILL every member at once and start all again, twice", steps: []step{killAll, killAll}},
	{Name: "rolling-restart", Shows: "restart one member after the other, by SIGTERM and then by SIGKILL",
		steps: []step{during("rolling all signal=TERM", 8*time.Second), during("rolling all", 8*time.Second)}},
	{Name: "kill-in-snapshot", Shows: "SIGKILL a follower while it takes a snapshot, and then the leader, twice",
		steps: repeat(2, during("crash follower during=snapshot", 2*time.Second), during("crash leader during=snapshot", 3*time.Second))},
	{Name: "pause-leader", Shows: "stop the leader while clients go on asking it, until others have elected another; four times",
		steps: []step{pauseLeader, pauseLeader, pauseLeader, pauseLeader},
		Load:  Load{Clients: 24, Keys: 8, Rate: 240, AtLeader: 14}},
	{Name: "pause-follower", Shows: "stop a follower for longer than an election time-out, twice", steps: []step{pauseFollower, pauseFollower}},
	{Name: "slow-link", Shows: "every link late by 30 ms to 70 ms; then the leader's links late and narrow",
		steps: []step{during("delay all delay=50ms jitter=20ms", 5*time.Second), during("delay leader delay=80ms jitter=40ms", 5*time.Second),
			during("bandwidth leader rate=32KiB", 5*time.Second).over1s()}},
	{Name: "lossy-link", Shows: "every link loses one in ten; then the leader's links lose one in four",
		steps: []step{during("loss all loss=10%", 5*time.Second), during("loss leader loss=25%", 5*time.Second)}},
	{Name: "messy-link", Shows: "packets overtake each other and come twice, on every link; in containers only",
		steps: []step{during("reorder all", 5*time.Second), during("duplicate all", 5*time.Second), during("reorder leader delay=60ms", 4*time.Second).over1s()}},
	// Its answers to the leader travel on two connections, and the load is such that it needs another snapshot when it has one.
	{Name: "late-follower", Shows: "cut a follower with slow links off, twice, while so much is written that it needs one snapshot after another",
		steps: []step{during("delay n3 delay=80ms jitter=70ms", 15*time.Second),
			{fault: "partition n3", shortest: 3 * time.Second, longest: 3500 * time.Millisecond, after: time.Second},
			{fault: "partition n3", shortest: 3 * time.Second, longest: 3500 * time.Millisecond, after: 6 * time.Second}},
		Load: Load{Clients: 32, Keys: 16, Rate: 600}},
	{Name: "overlap", Shows: "cut the leader off, and when another is elected pause a follower; kill the leader while all links are slow",
		steps: []step{during("partition leader", 5*time.Second), {fault: "pause follower", shortest: 2 * time.Second, longest: 2500 * time.Millisecond, when: "when leader"},
			during("delay all delay=30ms jitter=10ms", 6*time.Second), {fault: "crash leader", shortest: 3 * time.Second, longest: 3500 * time.Millisecond, over: 5 * time.Second}}},
	{Name: "everything", Shows: "faults of every family that this world can have, in an order drawn from the seed, some overlapping",
		total: 60 * time.Second},
}

// during is a step of about this length.
func during(fault string, d time.Duration) step {
	return step{fault: fault, shortest: d, longest: d + d/5}
}

// over1s begins a second before the step before it ends.
func (s step) over1s() step { s.over = time.Second; return s }

func repeat(n int, steps ...step) (all []step) {
	for range n {
		all = append(all, steps...)
	}
	return all
}

// ErrScenario is returned for a name that no scenario has.
var ErrScenario = errors.New("chaos: scenario")

// FindScenario names the known scenarios where it finds none.
func FindScenario(name string) (Scenario, error) {
	var known []string
	for _, s := range Scenarios {
		if s.Name == name {
			return s, nil
		}
		known = append(known, s.Name)
	}
	return Scenario{}, fmt.Errorf("%w %q is not known; %s", ErrScenario, name, nearest.Hint(name, known, "`raftlab list` prints them"))
}

// Schedule draws the times from the seed, for the kind of cluster that c is; it need not run. Where faults are drawn, cannot
// names the families that are left out, and why.
func (s Scenario) Schedule(seed uint64, c harness.Cluster) (drawn Schedule, cannot []string) {
	if len(s.steps) == 0 {
		faults, cannot := Drawable(c)
		return Compose(faults, s.total, seed), cannot
	}
	return s.draw(seed), nil
}

func (s Scenario) draw(seed uint64) Schedule {
	random := Random(seed, scheduleStream)
	drawn := Schedule{Seed: seed}
	at := between(random, quietShortest, quietLongest) // when the next may begin
	for _, step := range s.steps {
		lasts := between(random, step.shortest, step.longest)
		quiet := between(random, quietShortest, quietLongest)
		event, err := parseEvent(strings.Fields(fmt.Sprintf("at 0s %s for %v", step.fault, lasts)))
		begins := at
		if n := len(drawn.Events); n > 0 {
			switch before := drawn.Events[n-1]; {
			case step.after > 0:
				begins = before.When.Time + step.after
			case step.over > 0:
				begins = before.When.Time + before.For - min(step.over, before.For)
			}
		}
		event.When = At(begins)
		if step.when != "" && err == nil {
			event.When, _, err = parseTrigger(strings.Fields(step.when))
		}
		if err != nil {
			panic(fmt.Sprintf("chaos: scenario %s: %v", s.Name, err)) // our bug, that every test of scenarios finds
		}
		drawn.Events = append(drawn.Events, event)
		at = max(at, begins+lasts+quiet)
	}
	drawn.End = at
	return drawn
}

// Streams keep choices apart: another fault in a schedule must not change which keys the clients use.
const (
	scheduleStream = 1
	targetStream   = 2
	workloadStream = 3
)

func between(random *rand.Rand, shortest, longest time.Duration) time.Duration {
	return (shortest + time.Duration(random.Int64N(int64(longest-shortest)))).Round(durationsRound)
}
