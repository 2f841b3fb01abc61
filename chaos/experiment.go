package chaos

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"raftlab/harness"
	"raftlab/linearizability"
)

// Experiment runs one Schedule against one cluster and judges what was seen. It owns the cluster from the
// moment Run is called: Run heals, closes it and checks that nothing is left, whatever happens on the way.
type Experiment struct {
	Scenario string
	Schedule Schedule
	System   harness.System
	Cluster  harness.Cluster
	Dir      *harness.Run

	Workload string  // of Workloads; registers
	Clients  int     // default 10
	Keys     int     // default 10
	Rate     float64 // operations per second over all clients, default 100
	// AtLeader is how many of the clients ask the leader, see Load: default none.
	AtLeader int
	WarmUp   time.Duration // default 2 s
	// Patience is how long the healed cluster may take to converge, if Bounds do not say it, and then to answer the final
	// reads: 30 s.
	Patience time.Duration
	// Bounds are how long it may keep clients waiting before that is a FAIL.
	Bounds Bounds

	// Leftovers names what a closed cluster has left behind in this world, and removes it if it can: the method
	// Leftovers of process.Cluster and of docker.Cluster. Without it nobody has looked, and the run is UNKNOWN.
	Leftovers func(context.Context) ([]string, error)
	// Say prints one line of progress. It is called from one goroutine at a time.
	Say func(line string)
	// Progress, if set, is told ten times a second how the run is going, from one goroutine, where the members can be asked
	// who leads.
	Progress func(Progress)
}

const (
	readyTimeout  = 60 * time.Second
	leaderTimeout = 10 * time.Second
	probeTimeout  = 10 * time.Second // of one probe, injection or undo: a hung engine must not starve the heal
	closeTimeout  = 60 * time.Second
	operationMax  = time.Second
)

// Result is everything that a run has shown.
type Result struct {
	Verdict      Verdict
	Interrupted  bool
	Checks       []Check
	Windows      []Window
	Claims       map[string]string // what each member said that it was built from
	Counts       linearizability.Counts
	Served       Served
	Observed     harness.Observed
	Keys         int
	Waited       Waited
	Took         time.Duration
	Gaps         []harness.Interval // in which nobody led a majority, in order and apart
	Leaderless   time.Duration      // how long they are together
	Untold       bool               // the members cannot be asked who leads, nor what they have applied
	Unit         string             // what this world counts where it cuts a link
	Linearizable linearizability.Report
	Witness      linearizability.Witnessed
	Drawings     []string // of failing keys: paths, or why there is none
	Undrawn      int      // failing keys beyond those
}

// ExitCode of the run: an interrupt is said as such, unless a violation was found before it.
func (r Result) ExitCode() int {
	if r.Interrupted && r.Verdict != Fail {
		return ExitInterrupted
	}
	return r.Verdict.ExitCode()
}

// check is the one with that name; an empty one where it was not made.
func (r Result) check(name string) Check {
	for _, c := range r.Checks {
		if c.Name == name {
			return c
		}
	}
	return Check{}
}

// progress is the state of a run while it goes on, owned by the goroutine of Run.
type progress struct {
	Experiment
	began     time.Time
	recorder  *linearizability.Recorder
	journal   *Journal
	load      *harness.Load
	workload  harness.Workload
	monitor   *harness.Monitor
	samples   *harness.Samples // what the monitor is told
	announcer *announcer
	saying    sync.Mutex
	front     *harness.Front // nil where no fault needs one
	breaking  breaking
	result    Result

	logs    []linearizability.Log // of the members that told theirs
	unasked string                // why not all were told
	untold  error                 // why members cannot be asked what they know of themselves; nil where they can
}

// Run returns an error only where nothing could be judged; then it is the environment's fault, or ours. When
// ctx ends it schedules nothing more, but still heals, closes and judges.
func (x Experiment) Run(ctx context.Context) (Result, error) {
	x.defaults()
	p := &progress{Experiment: x, began: time.Now()}
	err := p.prepare(ctx)
	if err == nil {
		p.faults(ctx)
		p.settle(ctx)
	}
	return p.finish(ctx, err)
}

func (x *Experiment) defaults() {
	load := Load{x.Clients, x.Keys, x.Rate, x.AtLeader}.Or(DefaultLoad)
	x.Clients, x.Keys, x.Rate = load.Clients, load.Keys, load.Rate
	if x.WarmUp == 0 {
		x.WarmUp = 2 * time.Second
	}
	if x.Patience == 0 {
		x.Patience = 30 * time.Second
	}
	if x.Bounds.Converge == 0 {
		x.Bounds.Converge = x.Patience
	}
	if x.Say == nil {
		x.Say = func(string) {}
	}
}

// prepare ends with a cluster that has served every client for the warm-up.
func (p *progress) prepare(ctx context.Context) (err error) {
	if err := errors.Join(p.Schedule.Validate(), p.Schedule.Fits(members(p.Cluster))); err != nil {
		return err
	}
	ready, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := harness.AwaitReady(ready, p.Cluster, p.System); err != nil {
		return err
	}
	found, err := probe(ready, p.Cluster, members(p.Cluster))
	if err != nil {
		return err
	}
	p.breaking.started = map[string]time.Time{}
	p.breaking.saw(found)
	p.result.Claims = versions(ready, p.Cluster, p.System)
	header := linearizability.Header{Seed: int64(p.Schedule.Seed), Meta: map[string]string{
		"scenario": p.Scenario, "system": p.System.Name(), "world": p.Cluster.World()}}
	if p.recorder, err = linearizability.Create(p.Dir.Path("history.jsonl"), header); err != nil {
		return err
	}
	if p.journal, err = CreateJournal(p.Dir.Path("faults.jsonl")); err != nil {
		return err
	}
	p.workload, err = newWorkload(p.Workload, p.Keys, p.System)
	if err != nil {
		return err
	}
	// The load and the monitor outlive an interrupt: what is in flight then must still be answered.
	lasting := context.WithoutCancel(ctx)
	p.samples = p.Dir.Samples()
	p.monitor, err = harness.Watch(lasting, p.Cluster, p.System, harness.MonitorConfig{Now: p.recorder.Now, Sample: p.samples.Write})
	if errors.Is(err, harness.ErrUnsupported) {
		p.untold = err
	} else if err != nil {
		return err
	}
	asked := p.Cluster // by the clients
	for _, e := range p.Schedule.Events {
		if p.front == nil && e.Fault.Kind.family().Front {
			if p.front, err = harness.NewFront(p.Cluster); err != nil {
				return err
			}
			asked = p.front
		}
	}
	p.load, err = harness.StartLoad(lasting, asked, p.System, harness.LoadConfig{
		Seed: Random(p.Schedule.Seed, workloadStream).Uint64(), Clients: p.Clients, Rate: p.Rate,
		Timeout: operationMax, Workload: p.workload, Recorder: p.recorder, Aim: p.aim, Aimed: p.AtLeader,
	})
	if err != nil {
		return err
	}
	p.load.Phase("warm up")
	p.announcer = p.announce()
	p.wait(ctx, p.WarmUp)
	return nil
}

// wait returns early when ctx ends.
func (p *progress) wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// settle lets the healed cluster converge, and reads every key on every member.
func (p *progress) settle(ctx context.Context) {
	if ctx.Err() != nil {
		p.say("interrupted: healed, nothing more is broken, what was recorded is judged")
		p.result.Interrupted = true
		return
	}
	p.load.Phase("healed")
	p.stopLoad()
	converged, read := p.converge(ctx), p.readAll(ctx)
	healed := p.healed(ctx) // last, for a member may end while the others wait for it
	p.add(healed)
	p.add(excuse(converged, healed))
	p.add(excuse(read, healed))
	p.askLogs(ctx)
	p.result.Interrupted = ctx.Err() != nil
}

func (p *progress) converge(ctx context.Context) Check {
	c := Check{Name: convergedCheck, Looked: "applied index and state hash of " + Counted(len(p.Cluster.Places()), "member")}
	began := time.Now()
	bound := p.Bounds.of(len(p.Cluster.Places())).Converge
	limited, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	statuses, err := harness.AwaitConverged(limited, p.Cluster, p.System)
	p.result.Waited.Converge = time.Since(began)
	switch {
	case err == nil:
		status := statuses[p.Cluster.Places()[0].Name]
		c.Verdict = Pass
		p.say("healed: all %d members at index %s with hash %s after %v", len(statuses), thousands(status.Applied),
			status.Hash, short(time.Since(began)))
	case ctx.Err() != nil:
		c.Verdict, c.Reason = Unknown, "interrupted"
	case errors.Is(err, harness.ErrUnsupported):
		c.Verdict, c.Reason = Unknown, "nobody can compare the members: "+text(err)
	default:
		c.Verdict, c.Reason = Fail, fmt.Sprintf("not within %v after everything was healed: %s", bound, text(err))
	}
	return c
}

func (p *progress) readAll(ctx context.Context) Check {
	keys := p.workload.Keys()
	c := Check{Name: finalReadsCheck, Looked: fmt.Sprintf("%s on each of %s", Counted(len(keys), "key"), Counted(len(p.Cluster.Places()), "member"))}
	limited, cancel := context.WithTimeout(ctx, p.Patience)
	defer cancel()
	_, err := harness.ReadAll(limited, p.Cluster, p.System, p.recorder, keys, p.Clients, operationMax)
	switch {
	case err == nil && len(keys) > 0:
		c.Verdict = Pass
	case err == nil:
		c.Verdict, c.Reason = Unknown, "no key was ever asked for"
	case ctx.Err() == nil && errors.Is(err, harness.ErrNotInTime):
		c.Verdict, c.Reason = Fail, fmt.Sprintf("not within %v after everything was healed: %s", p.Patience, text(err))
	default:
		c.Verdict, c.Reason = Unknown, text(err)
	}
	return c
}

func (p *progress) add(c Check) { p.result.Checks = append(p.result.Checks, c) }

// bounded gives one step its own time, so that one that hangs cannot starve the ones that heal.
func bounded(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return do(ctx)
}
