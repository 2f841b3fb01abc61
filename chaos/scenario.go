package chaos

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Scenario is a named way to draw a Schedule from a seed.
type Scenario struct {
	Name  string
	Shows string // one sentence for `raftlab list`
	steps []step
}

// step is a fault that lasts from shortest up to longest, drawn from the seed.
type step struct {
	fault             Fault
	shortest, longest time.Duration
}

// A leader that is cut off or killed is followed by an election within about 1.5 election time-outs (0.5 s
// each) and must then be seen serving, so its window is several times that. A pause must be longer than any
// election time-out.
var (
	cutLeader      = step{Fault{Partition, Leader}, 4 * time.Second, 5 * time.Second}
	killLeader     = step{Fault{Crash, Leader}, 3 * time.Second, 4 * time.Second}
	pauseFollower  = step{Fault{Pause, Follower}, 2 * time.Second, 3 * time.Second}
	quietShortest  = 1500 * time.Millisecond
	quietLongest   = 2500 * time.Millisecond
	durationsRound = 10 * time.Millisecond
)

// Scenarios are the ones that ship, in the order in which `raftlab list` prints them.
var Scenarios = []Scenario{
	{"default", "isolate the leader, heal; kill the leader, restart; pause a follower, resume",
		[]step{cutLeader, killLeader, pauseFollower}},
	{"partition-leader", "cut the leader from its peers but not from its clients, twice", []step{cutLeader, cutLeader}},
	{"kill-leader", "SIGKILL the leader and start it again, twice", []step{killLeader, killLeader}},
	{"pause-follower", "stop a follower for longer than an election time-out, twice", []step{pauseFollower, pauseFollower}},
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
	return Scenario{}, fmt.Errorf("%w %q is not known; use one of %s", ErrScenario, name, strings.Join(known, ", "))
}

// Schedule draws the times from the seed.
func (s Scenario) Schedule(seed uint64) Schedule {
	random := Random(seed, scheduleStream)
	drawn := Schedule{Seed: seed}
	at := between(random, quietShortest, quietLongest)
	for _, step := range s.steps {
		lasts := between(random, step.shortest, step.longest)
		drawn.Events = append(drawn.Events, Event{At: at, For: lasts, Fault: step.fault})
		at += lasts + between(random, quietShortest, quietLongest)
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
