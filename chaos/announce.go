package chaos

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"raftlab/harness"
)

// announcer prints elections as the monitor sees them, from a goroutine that it owns.
type announcer struct {
	stop chan struct{}
	done sync.WaitGroup
}

const announceEvery = 100 * time.Millisecond

// announce needs p.monitor, unless there is none: then nothing is said of elections.
func (p *progress) announce() *announcer {
	a := &announcer{stop: make(chan struct{})}
	if p.monitor == nil {
		return a
	}
	a.done.Go(func() {
		ticker := time.NewTicker(announceEvery)
		defer ticker.Stop()
		told := 0
		for {
			select {
			case <-a.stop:
				return
			case <-ticker.C:
			}
			seen := p.monitor.Observed()
			for ; told < len(seen.Elections); told++ {
				e := seen.Elections[told]
				p.say("leader %s term %d%s", e.Node, e.Term, leaderlessBefore(e, seen.Leaderless, p.breaking.latest()))
			}
			p.tellProgress()
		}
	})
	return a
}

// Progress is how a run is going.
type Progress struct {
	At        time.Duration // since the load began
	OK, Total int           // operations
	Leader    string        // who was seen elected last
	Fault     string        // the last that was begun, while it lasts
}

func (p *progress) tellProgress() {
	if p.Progress == nil {
		return
	}
	counts := p.recorder.Counts()
	now := Progress{At: p.recorder.Now(), OK: counts.OK, Total: counts.Operations, Leader: p.monitor.Led()}
	if w := p.breaking.lasts(); w != nil {
		now.Fault = fmt.Sprintf("fault #%d %s", w.Fault, w.What)
	}
	p.Progress(now)
}

func (a *announcer) end() {
	close(a.stop)
	a.done.Wait()
}

// leaderlessBefore says how long nobody led before e, if that was long enough to be seen.
func leaderlessBefore(e harness.Election, leaderless []harness.Interval, fault *Window) string {
	var longest time.Duration
	for _, gap := range leaderless {
		// The monitor ends the gap when it sees the election.
		if near := gap.To - e.At; gap.To != 0 && near > -announceEvery && near < announceEvery {
			longest = max(longest, gap.To-gap.From)
		}
	}
	if fault != nil && fault.HitLeader() && e.Term == fault.Term+1 {
		longest = max(longest, e.At-fault.From)
	}
	if longest < announceEvery {
		return ""
	}
	return fmt.Sprintf(" (no leader for %v)", short(longest))
}

// say prints one line with the time since the load began in front.
func (p *progress) say(format string, args ...any) {
	p.saying.Lock()
	defer p.saying.Unlock()
	at := time.Duration(0)
	if p.recorder != nil {
		at = p.recorder.Now()
	}
	p.Say(fmt.Sprintf("%6.1fs  %s", at.Seconds(), fmt.Sprintf(format, args...)))
}

func names(nodes []string) string { return strings.Join(nodes, " ") }

func led(w Window) string {
	switch {
	case w.Leader == "":
		return ""
	case w.HitLeader():
		return fmt.Sprintf(" (%s led in term %d)", w.Leader, w.Term)
	}
	return fmt.Sprintf(" (%s leads in term %d)", w.Leader, w.Term)
}

// short rounds a time to what a person reads.
func short(d time.Duration) time.Duration {
	switch {
	case d >= 10*time.Second:
		return d.Round(100 * time.Millisecond)
	case d >= time.Second:
		return d.Round(10 * time.Millisecond)
	case d >= time.Millisecond:
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(time.Microsecond)
}
