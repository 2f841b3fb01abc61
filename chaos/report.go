package chaos

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"raftlab/chaos/report"
	"raftlab/harness"
	"raftlab/linearizability"
)

// About is what a report says of the run beside what happened in it.
type About struct {
	Argv     []string          `json:"argv"`
	Again    string            `json:"again"` // the command that runs it again
	Versions map[string]string `json:"versions"`
	Tested   map[string]string `json:"tested,omitempty"` // the program of the members: the hash of a file, the id of an image
	Options  map[string]any    `json:"options"`
}

// summary is run.json.
type summary struct {
	Verdict     Verdict   `json:"verdict"`
	ExitCode    int       `json:"exit_code"`
	Reason      string    `json:"reason"`
	Interrupted bool      `json:"interrupted,omitempty"`
	Scenario    string    `json:"scenario"`
	Seed        uint64    `json:"seed"`
	Started     time.Time `json:"started"`
	World       string    `json:"world,omitempty"` // there is none where the cluster did not start
	System      string    `json:"system"`
	Members     []string  `json:"members,omitempty"`
	// Addresses are those under which the members know each other: a reply names who served it by its address.
	Addresses map[string]string `json:"addresses,omitempty"`
	// Claims are what the members said of themselves when they were ready; Tested is what the lab knows.
	Claims     map[string]string  `json:"member_versions,omitempty"`
	Schedule   []string           `json:"schedule"` // as drawn from the seed
	Took       time.Duration      `json:"took_ns"`
	Served     Served             `json:"served"`
	Elections  int                `json:"elections"`
	Dropped    uint64             `json:"packets_dropped"`
	Unit       string             `json:"dropped_unit,omitempty"` // what this world counts where it cuts a link
	Leaderless time.Duration      `json:"without_leader_ns"`
	Gaps       []harness.Interval `json:"leaderless,omitempty"`
	Failure    string             `json:"failure,omitempty"` // safety or liveness
	Waited     Waited             `json:"waited"`
	Digest     string             `json:"history_sha256,omitempty"` // of the history that was judged
	About

	Counts  linearizability.Counts `json:"operations"`
	Windows []told                 `json:"faults"`
}

// told is a window with what can be said of it, for readers that know no kinds of faults.
type told struct {
	Window
	Text      string `json:"text"` // as a schedule says it
	HitLeader bool   `json:"hit_leader,omitempty"`
}

// WriteReport writes run.json, check.json, summary.md and the links, and from the whole directory report.html and
// junit.xml. It writes what it can, and returns every error.
func (x Experiment) WriteReport(r Result, about About) error {
	s := summary{
		Verdict: r.Verdict, ExitCode: r.ExitCode(), Reason: r.Reason(), Interrupted: r.Interrupted,
		Scenario: x.Scenario, Seed: x.Schedule.Seed,
		Started: time.Now().Add(-r.Took).UTC().Truncate(time.Second), System: x.System.Name(),
		Schedule: strings.Split(strings.TrimSpace(x.Schedule.String()), "\n"),
		Took:     r.Took, Served: r.Served, Elections: len(r.Observed.Elections), Dropped: r.Dropped(),
		Failure: r.Failure(), Waited: r.Waited,
		Leaderless: r.Leaderless, Gaps: r.Gaps, Unit: r.Unit, About: about, Claims: r.Claims, Counts: r.Counts,
		Addresses: map[string]string{}, Digest: report.HistoryDigest(x.Dir.Dir()),
	}
	for _, w := range r.Windows {
		s.Windows = append(s.Windows, told{w, w.What.String(), w.HitLeader()})
	}
	if x.Cluster != nil {
		s.World, s.Members = x.Cluster.World(), members(x.Cluster)
		for _, place := range x.Cluster.Places() {
			s.Addresses[place.Name] = place.Address
		}
	}
	checks := map[string]any{"verdict": r.Verdict, "checks": r.Checks, "linearizable": r.Linearizable, "witness": r.Witness, "observed": r.Observed}
	text := fmt.Sprintf("# %s: %s, seed %d\n\n%s\n\n```\n%s\n```\n\nRun again with `%s`.\n", r.Verdict, x.Scenario,
		x.Schedule.Seed, r.Reason(), strings.Join(append(r.faultLines(), r.Lines()...), "\n"), about.Again)
	written := errors.Join(
		x.Dir.WriteJSON("run.json", s),
		x.Dir.WriteJSON("check.json", checks),
		x.Dir.WriteFile("summary.md", []byte(text)),
		x.Dir.Link(r.Verdict == Fail),
	)
	return errors.Join(written, report.Write(x.Dir.Dir()))
}

// Dropped counts what the rules of all partitions swallowed.
func (r Result) Dropped() uint64 {
	var total uint64
	for _, w := range r.Windows {
		total += w.Evidence.Dropped
	}
	return total
}

// Reason is why the verdict is what it is, in one line.
func (r Result) Reason() string {
	var why []string
	for _, c := range r.Checks {
		if c.Verdict == r.Verdict && c.Verdict != Pass {
			why = append(why, fmt.Sprintf("%s: %s", c.Name, c.Reason))
		}
	}
	if r.Interrupted {
		why = append([]string{"interrupted before the end"}, why...)
	}
	switch {
	case len(why) > 0 && r.Failure() == "liveness":
		return "of liveness, nothing was lost: " + strings.Join(why, " · ")
	case len(why) > 0:
		return strings.Join(why, " · ")
	case r.Verdict == Pass:
		return fmt.Sprintf("%s linearizable over %s, %s proven, all members agree",
			Counted(r.Keys, "key"), Counted(r.Counts.Operations, "operation"), Counted(len(r.Windows), "fault"))
	}
	return "nothing was judged"
}

// Lines is the end of the terminal output: counts, then each checker with what it looked at.
func (r Result) Lines() []string {
	elections, leaderless := fmt.Sprint(len(r.Observed.Elections)), short(r.Leaderless).String()
	if r.Untold { // none was seen, because nobody could look
		elections, leaderless = "unknown", "unknown"
	}
	lines := []string{fmt.Sprintf(
		"ops %s  ok %s  failed %s  unknown %s   p50 %v  p99 %v   longest gap %v",
		thousands(r.Counts.Operations), thousands(r.Counts.OK), thousands(r.Counts.Failed), thousands(r.Counts.Unknown),
		short(r.Served.Median), short(r.Served.P99), short(r.Served.LongestGap)),
		fmt.Sprintf("elections %s   dropped by the rules %s %s   without a leader %s   took %v",
			elections, thousands(r.Dropped()), r.Unit, leaderless, short(r.Took)),
	}
	width := 0
	for _, c := range r.Checks {
		width = max(width, len(c.Name))
	}
	for _, c := range r.Checks {
		line := fmt.Sprintf("check %-*s  %-7s  %s", width, c.Name, word(c.Verdict), c.Looked)
		lines = append(lines, strings.TrimRight(line, " "))
	}
	for _, drawing := range r.Drawings {
		lines = append(lines, "drawn "+drawing)
	}
	if r.Undrawn > 0 {
		lines = append(lines, fmt.Sprintf("drawn are the first %d failing keys only; check.json names %d more",
			len(r.Drawings), r.Undrawn))
	}
	return lines
}

func word(v Verdict) string {
	switch v {
	case Pass:
		return "ok"
	case Nothing:
		return "-"
	}
	return string(v)
}

func (r Result) faultLines() []string {
	var lines []string
	for _, w := range r.Windows {
		if w.Evidence.Outcome == Skipped {
			lines = append(lines, fmt.Sprintf("%6.1fs  fault #%d %s skipped: %s", w.From.Seconds(), w.Fault, w.What, w.Evidence.Says))
			continue
		}
		lines = append(lines, fmt.Sprintf("%6.1fs  fault #%d %s: %s%s for %v: %s: %s", w.From.Seconds(), w.Fault, w.What,
			names(w.Nodes), led(w), short(w.To-w.From), w.Evidence.Outcome, w.Evidence.Says))
	}
	return lines
}
