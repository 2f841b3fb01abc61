package report

import (
	"slices"
	"strings"
	"time"

	"raftlab/harness"
)

// Stretch is a time in which a member said the same of itself.
type Stretch struct {
	From, To time.Duration
	Role     string // leader, follower, ...; empty where it did not answer
	Term     uint64
	Why      string // for no answer: what the lab was doing to it, as far as it was
	Commit   uint64 // at its end
	Applied  uint64
}

// silentAfter is how long after an answer a member still counts as what it said: the monitor asks ten times a second, and
// waits half a second for an answer.
const silentAfter = time.Second

// lane is what a member was over the run.
func (r Run) lane(node string) []Stretch {
	var lane []Stretch
	var last *Stretch
	for _, s := range r.Samples[node] {
		next := Stretch{From: s.At, To: s.At}
		if s.Status != nil {
			next.Role, next.Term, next.Commit, next.Applied = s.Status.Role, s.Status.Term, s.Status.Commit, s.Status.Applied
		}
		switch {
		case last != nil && last.Role == next.Role && last.Term == next.Term && s.At-last.To <= silentAfter:
			last.To, last.Commit, last.Applied = s.At, next.Commit, next.Applied
			continue
		case last != nil && s.At-last.To <= silentAfter:
			last.To = s.At // it lasted until the next was seen
		case last != nil:
			lane = append(lane, Stretch{From: last.To, To: s.At})
		}
		lane = append(lane, next)
		last = &lane[len(lane)-1]
	}
	for i := range lane {
		if lane[i].Role == "" {
			lane[i].Why = r.doneTo(node, lane[i].From, lane[i].To)
		}
	}
	return lane
}

// doneTo says which fault hit the member in that time: of several the last that had begun, for it is the one that changed something.
func (r Run) doneTo(node string, from, to time.Duration) string {
	kind := ""
	for _, f := range r.during(from, to) {
		if slices.Contains(f.Nodes, node) && (kind == "" || f.From <= from) {
			kind = f.Kind()
		}
	}
	return kind
}

// sampleAt is the last that was heard of the member at that time.
func (r Run) sampleAt(node string, at time.Duration) (harness.Sample, bool) {
	samples := r.Samples[node]
	i, _ := slices.BinarySearchFunc(samples, at, func(s harness.Sample, at time.Duration) int {
		if s.At <= at {
			return -1
		}
		return 1
	})
	if i == 0 {
		return harness.Sample{}, false
	}
	return samples[i-1], true
}

// heard says whether the lab asked the member about that time: not before it came, nor after it was removed.
func (r Run) heard(node string, at time.Duration) bool {
	samples := r.Samples[node]
	return len(samples) > 0 && samples[0].At <= at+silentAfter && samples[len(samples)-1].At >= min(at, r.lastSample())-silentAfter
}

func (r Run) lastSample() time.Duration {
	var last time.Duration
	for _, samples := range r.Samples {
		if n := len(samples); n > 0 {
			last = max(last, samples[n-1].At)
		}
	}
	return last
}

// leads says whether a role is that of a leader; systems have their own words for the others.
func leads(role string) bool { return role == "leader" }

// seeks says whether a role is on its way to lead.
func seeks(role string) bool { return strings.Contains(role, "candidate") }
