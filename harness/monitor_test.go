package harness_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"raftlab/harness"
)

// scripted is a cluster and a store whose members say what the test tells them to say.
type scripted struct {
	mu       sync.Mutex
	statuses map[string]*harness.Status // nil: does not answer
	born     map[string]time.Time
}

func newScripted(nodes ...string) *scripted {
	s := &scripted{statuses: map[string]*harness.Status{}, born: map[string]time.Time{}}
	for _, node := range nodes {
		s.statuses[node], s.born[node] = &harness.Status{Role: "follower", Term: 1}, time.Unix(1, 0)
	}
	return s
}

func (s *scripted) say(node string, status *harness.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.statuses[node] = status
}

func (s *scripted) restart(node string, status harness.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.statuses[node], s.born[node] = &status, s.born[node].Add(time.Second)
}

func (s *scripted) Inspect(_ context.Context, endpoint string) (harness.Status, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if status := s.statuses[endpoint]; status != nil {
		return *status, nil
	}
	return harness.Status{}, errors.New("no answer")
}

func (s *scripted) Probe(_ context.Context, node string) (harness.Probe, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return harness.Probe{State: harness.Running, PID: 1, Started: s.born[node]}, nil
}

func (s *scripted) Places() []harness.Place {
	s.mu.Lock()
	defer s.mu.Unlock()
	var places []harness.Place
	for _, node := range []string{"n1", "n2", "n3"} {
		if _, ok := s.born[node]; ok {
			places = append(places, harness.Place{Name: node, Address: node})
		}
	}
	return places
}

func (s *scripted) World() string { return "script" }
func (s *scripted) Name() string  { return "script" }
func (s *scripted) Endpoint(_ context.Context, node string) (string, error) {
	return node, nil
}
func (s *scripted) Start(context.Context, string) error          { return harness.ErrUnsupported }
func (s *scripted) Log(context.Context, string, io.Writer) error { return harness.ErrUnsupported }
func (s *scripted) Close(context.Context) error                  { return nil }
func (s *scripted) Spec(harness.Place, []harness.Place) harness.Spec {
	return harness.Spec{}
}
func (s *scripted) Ready(context.Context, string) error { return nil }
func (s *scripted) Dial(string, func(context.Context) (string, error)) (harness.Client, error) {
	return nil, harness.ErrUnsupported
}

func watch(t *testing.T, s *scripted) *harness.Monitor {
	t.Helper()
	m, err := harness.Watch(t.Context(), s, s, harness.MonitorConfig{Interval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// settled waits until every member has answered twice, so that what was said before has been seen: the first of the two
// may have been on its way.
func settled(t *testing.T, m *harness.Monitor) {
	t.Helper()
	for range 2 {
		before := m.Observed().Last
		await(t, "an answer of each member", func() bool {
			now := m.Observed().Last
			for node, sample := range now {
				if sample.At == before[node].At {
					return false
				}
			}
			return len(now) > 0
		})
	}
}

func findings(o harness.Observed) string {
	var parts []string
	for _, f := range o.Findings {
		parts = append(parts, string(f.Rule)+": "+f.Text)
	}
	return strings.Join(parts, "\n")
}

func TestMonitorFindsTwoLeadersInOneTerm(t *testing.T) {
	s := newScripted("n1", "n2")
	m := watch(t, s)
	s.say("n1", &harness.Status{Role: "leader", Term: 3})
	settled(t, m)
	s.say("n1", &harness.Status{Role: "follower", Term: 3}) // not even one after the other
	s.say("n2", &harness.Status{Role: "leader", Term: 3})
	settled(t, m)
	if got := findings(m.Stop()); got != "one leader per term: n1 and n2 both lead in term 3" {
		t.Fatal(got)
	}
}

func TestMonitorFindsCommitGoingBack(t *testing.T) {
	s := newScripted("n1")
	m := watch(t, s)
	s.say("n1", &harness.Status{Role: "follower", Term: 1, Commit: 10})
	settled(t, m)
	s.say("n1", nil) // a pause in between changes nothing: it is the same process
	settled(t, m)
	s.say("n1", &harness.Status{Role: "follower", Term: 1, Commit: 7})
	settled(t, m)
	if got := findings(m.Stop()); got != string(harness.CommitMonotonic)+": n1 went from commit index 10 to 7 without a restart" {
		t.Fatal(got)
	}
}

func TestMonitorFindsDifferentStateAtOneIndex(t *testing.T) {
	s := newScripted("n1", "n2")
	m := watch(t, s)
	s.say("n1", &harness.Status{Role: "follower", Applied: 5, Hash: "aa"})
	settled(t, m)
	s.say("n1", &harness.Status{Role: "follower", Applied: 9, Hash: "cc"})
	s.say("n2", &harness.Status{Role: "follower", Applied: 5, Hash: "bb"}) // later, and n1 is past it
	settled(t, m)
	if got := findings(m.Stop()); got != string(harness.EqualStateHash)+": at applied index 5 n1 has hash aa and n2 has bb" {
		t.Fatal(got)
	}
}

func TestMonitorPassesAnHonestHistory(t *testing.T) {
	s := newScripted("n1", "n2", "n3")
	m := watch(t, s)
	s.say("n1", &harness.Status{Role: "leader", Term: 1, Commit: 10, Applied: 10, Hash: "aa"})
	s.say("n2", &harness.Status{Role: "follower", Term: 1, Commit: 9, Applied: 10, Hash: "aa"})
	settled(t, m)
	s.say("n2", &harness.Status{Role: "leader", Term: 2, Commit: 10, Applied: 10, Hash: "aa"}) // n1 does not know yet
	settled(t, m)
	s.restart("n1", harness.Status{Role: "follower", Term: 2, Commit: 3, Applied: 3, Hash: "a"}) // begins again below
	settled(t, m)
	s.say("n2", nil)
	settled(t, m)
	s.say("n3", &harness.Status{Role: "leader", Term: 3, Commit: 11, Applied: 11, Hash: "bb"})
	settled(t, m)
	o := m.Stop()
	if got := findings(o); got != "" {
		t.Fatal(got)
	}
	if len(o.Elections) != 3 || o.Elections[2].Node != "n3" || o.Elections[2].Term != 3 || o.Failed == 0 || o.Compared == 0 {
		t.Fatalf("%+v", o)
	}
	if o.Applied < 3 || o.Hashed != 3 || o.Hashes != 3 || o.Commit != 11 {
		t.Fatalf("what answers differ in: %+v", o)
	}
	// Before the first leader, and while n2 did not answer; not while the old leader of term 1 went on.
	if len(o.Leaderless) != 2 || o.Leaderless[1].To == 0 || o.Without <= 0 {
		t.Fatalf("without a leader: %+v", o.Leaderless)
	}
}

// Who leads when the monitor stops has led until then, whichever member is asked last.
func TestStopDeposesNobody(t *testing.T) {
	for range 300 {
		s := newScripted("n1", "n2", "n3")
		s.say("n1", &harness.Status{Role: "leader", Term: 1})
		m, err := harness.Watch(t.Context(), s, s, harness.MonitorConfig{Interval: 10 * time.Microsecond})
		if err != nil {
			t.Fatal(err)
		}
		await(t, "a leader", func() bool { return m.Led() == "n1" })
		if o := m.Stop(); len(o.Leaderless) != 1 {
			t.Fatalf("without a leader: %+v", o.Leaderless)
		}
	}
}

// A member that is cut off may raise its term for ever: that deposes nobody until others follow it.
func TestATermIsReachedWhereAMajorityIsInIt(t *testing.T) {
	s := newScripted("n1", "n2", "n3")
	m := watch(t, s)
	s.say("n2", &harness.Status{Role: "follower", Term: 1})
	s.say("n3", &harness.Status{Role: "follower", Term: 1})
	s.say("n1", &harness.Status{Role: "leader", Term: 1})
	settled(t, m)
	s.say("n3", &harness.Status{Role: "candidate", Term: 7})
	settled(t, m)
	if o := m.Observed(); len(o.Terms) == 0 || o.Terms[len(o.Terms)-1].Term != 1 || o.Leaderless[len(o.Leaderless)-1].To == 0 {
		t.Errorf("one of three is in term 7: %+v, without a leader %+v", o.Terms, o.Leaderless)
	}
	s.say("n2", &harness.Status{Role: "follower", Term: 7})
	settled(t, m)
	if o := m.Stop(); o.Terms[len(o.Terms)-1].Term != 7 || o.Terms[len(o.Terms)-1].At < o.Terms[len(o.Terms)-2].At {
		t.Errorf("two of three are in term 7: %+v", o.Terms)
	} else if gap := o.Leaderless[len(o.Leaderless)-1]; gap.From < o.Terms[len(o.Terms)-1].At {
		t.Errorf("n1 led until then: %+v, %+v", o.Leaderless, o.Terms)
	}
}

func TestAwaitConvergedNamesWhoDiffers(t *testing.T) {
	s := newScripted("n1", "n2")
	s.say("n1", &harness.Status{Applied: 5, Commit: 5, Hash: "aa"})
	s.say("n2", &harness.Status{Applied: 5, Commit: 5, Hash: "bb"})
	_, err := harness.AwaitConverged(withDeadline(t, 120*time.Millisecond), s, s)
	if !errors.Is(err, harness.ErrNotInTime) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "hash bb") {
		t.Fatalf("%v", err)
	}
	s.say("n2", nil)
	if _, err := harness.AwaitConverged(withDeadline(t, 120*time.Millisecond), s, s); err == nil || !strings.Contains(err.Error(), "n2: no answer") {
		t.Fatalf("%v", err)
	}
	s.say("n2", &harness.Status{Applied: 5, Commit: 5, Hash: "aa"})
	if statuses, err := harness.AwaitConverged(withDeadline(t, 5*time.Second), s, s); err != nil || len(statuses) != 2 {
		t.Fatalf("%v %v", statuses, err)
	}
}

// The old leader behind a partition still calls itself leader; it is not the one to aim at.
func TestAwaitLeaderWantsAMajority(t *testing.T) {
	s := newScripted("n1", "n2", "n3")
	s.say("n1", &harness.Status{Role: "leader", Term: 1})
	s.say("n2", &harness.Status{Role: "leader", Term: 2})
	s.say("n3", &harness.Status{Role: "follower", Term: 1, Leader: "n1"})
	if node, _, err := harness.AwaitLeader(withDeadline(t, 120*time.Millisecond), s, s); err == nil {
		t.Fatalf("%s was taken for the leader", node)
	}
	s.say("n3", &harness.Status{Role: "follower", Term: 2, Leader: "n2"})
	if node, status, err := harness.AwaitLeader(withDeadline(t, 5*time.Second), s, s); err != nil || node != "n2" || status.Term != 2 {
		t.Fatalf("%s %+v %v", node, status, err)
	}
}

// mute is a store that cannot be asked: scripted without its Inspect.
type mute struct{ harness.System }

func TestWithoutAnInspectorNobodyIsAwaited(t *testing.T) {
	s := newScripted("n1", "n2")
	began := time.Now()
	if _, err := harness.AwaitConverged(withDeadline(t, 15*time.Second), s, mute{s}); !errors.Is(err, harness.ErrUnsupported) || errors.Is(err, harness.ErrNotInTime) {
		t.Errorf("converged: %v", err)
	}
	if _, _, err := harness.AwaitLeader(withDeadline(t, 15*time.Second), s, mute{s}); !errors.Is(err, harness.ErrUnsupported) {
		t.Errorf("leader: %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v to say so", took)
	}
}

// What ended the wait comes first; that something was awaited is only where it was noticed.
func TestAVainWaitBeginsWithItsTrueCause(t *testing.T) {
	s := newScripted("n1", "n2")
	s.say("n2", nil)
	_, err := harness.AwaitConverged(withDeadline(t, 120*time.Millisecond), s, s)
	if err == nil || !strings.HasPrefix(err.Error(), "n1: ") || !strings.HasSuffix(err.Error(), "n2: no answer (harness: did not happen in time: members converged)") {
		t.Errorf("%v", err)
	}
	burnt := errors.New("n1 ended with code 7")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(burnt)
	_, err = harness.AwaitConverged(ctx, s, s)
	if !errors.Is(err, burnt) || !errors.Is(err, harness.ErrNotInTime) || err.Error() != "n1 ended with code 7 (harness: did not happen in time: members converged)" {
		t.Errorf("%v", err)
	}
}
