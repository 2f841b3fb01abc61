package chaos

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"raftlab/harness"
	"raftlab/linearizability"
)

// finish stops what runs, closes the cluster and judges. It does not end with ctx: it is what an interrupt
// must not skip.
func (p *progress) finish(ctx context.Context, failed error) (Result, error) {
	p.result.Interrupted = p.result.Interrupted || ctx.Err() != nil
	ctx = context.WithoutCancel(ctx)
	if p.load != nil {
		p.stopLoad() // what was recorded until it ended is judged: a violation is one, whatever came after it
	}
	if p.front != nil {
		p.front.Close(ctx)
	}
	if p.announcer != nil {
		p.announcer.end()
	}
	if p.monitor != nil {
		p.result.Observed = p.monitor.Stop()
	}
	logs := bounded(ctx, func(ctx context.Context) error { return p.Dir.CollectLogs(ctx, p.Cluster) })
	p.add(guarded("nothing left behind", func() Check { return p.close(ctx) }))
	recorded := p.breaking.unrecorded
	if p.recorder != nil {
		recorded = errors.Join(recorded, p.recorder.Close())
	}
	if p.journal != nil {
		recorded = errors.Join(recorded, p.journal.Close())
	}
	if p.samples != nil {
		recorded = errors.Join(recorded, p.samples.Close())
	}
	p.result.Gaps, p.result.Unit = leaderless(p.result.Windows, p.result.Observed), unit(p.Cluster.World())
	p.result.Leaderless = lasting(p.result.Gaps)
	p.result.Untold, p.result.Took = p.untold != nil, time.Since(p.began)
	if failed != nil {
		p.result.Verdict = Environment
		return p.result, failed
	}
	p.judge(ctx, logs, recorded)
	return p.result, nil
}

// stopLoad may be called again.
func (p *progress) stopLoad() {
	err := p.load.Stop()
	if err != nil && p.result.check("load").Name == "" {
		p.add(Check{Name: "load", Verdict: Unknown, Looked: Counted(p.Clients, "client"), Reason: "the load ended early: " + text(err)})
	}
}

// close ends the cluster and looks for what it left.
func (p *progress) close(ctx context.Context) Check {
	c := Check{Verdict: Pass, Looked: Counted(len(p.Cluster.Places()), "member") + " after the cluster was closed"}
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	if err := p.Cluster.Close(ctx); err != nil {
		c.Verdict, c.Reason = Unknown, "close: "+text(err)
		return c
	}
	if p.Leftovers == nil {
		c.Verdict, c.Reason = Unknown, "nobody can say what this world leaves behind"
		return c
	}
	left, err := p.Leftovers(ctx)
	switch {
	case err != nil:
		c.Verdict, c.Reason = Unknown, text(err)
	case len(left) > 0:
		c.Verdict, c.Reason = Fail, "left behind: "+strings.Join(left, ", ")
	}
	return c
}

// judge runs every checker over what is in the run directory and in memory.
func (p *progress) judge(ctx context.Context, logs, recorded error) {
	r := &p.result
	history, err := harness.ReadHistory(p.Dir.Dir())
	p.add(guarded("records", func() Check { return records(history, p.recorder.Counts(), errors.Join(err, recorded)) }))
	r.Counts, r.Served, r.Keys = linearizability.Count(history.Operations), served(history.Operations), len(p.workload.Keys())
	ended := r.Checks
	r.Checks = nil
	p.add(guarded("linearizable", func() Check { return p.linearizable(ctx, history) }))
	p.add(guarded("claimed order", func() Check {
		r.Witness = linearizability.Witness(history.Operations, p.logs)
		return witnessed(r.Witness, p.unasked, r.Linearizable.Verdict)
	}))
	if _, lists := p.workload.(*harness.Lists); lists {
		p.add(guarded("no element lost or doubled", func() Check { return p.listed(history.Operations) }))
	}
	if _, sessions := p.workload.(*harness.Sessions); sessions {
		p.add(guarded("writes were repeated", func() Check { return repeated(history.Operations) }))
	}
	for _, rule := range []harness.Rule{harness.OneLeaderPerTerm, harness.CommitMonotonic, harness.EqualStateHash} {
		p.add(guarded(string(rule), func() Check { return invariant(rule, r.Observed, p.untold) }))
	}
	r.Checks = append(r.Checks, ended...)
	p.add(guarded("no member admitted a bug", func() Check { return noBugAdmitted(history.Operations) }))
	p.add(guarded("no panic in any log", func() Check { return noPanic(p.Dir, harness.Everybody(p.Cluster), logs) }))
	p.add(guarded("every fault proven", func() Check { return faultsProven(r.Windows) }))
	p.add(guarded("not vacuous", func() Check {
		return notVacuous(p.asks(), p.Schedule.Events, r.Windows, history.Operations, r.Observed.Elections)
	}))
	p.add(guarded(aliveCheck, func() (c Check) {
		c, r.Waited = alive(p.Bounds.of(len(members(p.Cluster))), *r, p.roaming(), history.Operations)
		return excuse(c, p.result.check(healedCheck))
	}))
	verdicts := make([]Verdict, len(r.Checks))
	for i, c := range r.Checks {
		verdicts[i] = c.Verdict
	}
	r.Verdict = Worst(verdicts...)
	if r.Interrupted {
		r.Verdict = Worst(r.Verdict, Unknown)
	}
}

// linearizable asks porcupine, key by key, and draws the keys that failed.
func (p *progress) linearizable(ctx context.Context, history linearizability.History) Check {
	report := linearizability.Check(ctx, history.Operations, linearizability.Options{})
	p.result.Linearizable = report
	c := Check{Verdict: Unknown, Looked: fmt.Sprintf("%s on %s in %v",
		Counted(len(history.Operations), "operation"), Counted(len(report.Keys), "key"), short(report.Took))}
	switch report.Verdict {
	case linearizability.Pass:
		c.Verdict = Pass
		return c
	case linearizability.Fail:
		c.Verdict = Fail
	}
	c.Reason = report.Message
	if failing := report.Failing(); len(failing) > 0 {
		p.draw(ctx, history, failing)
		c.Reason = fmt.Sprintf("%s: %s", failing[0].Key, failing[0].Message)
		if more := len(failing) - 1; more > 0 {
			c.Reason += fmt.Sprintf(" (and %s more)", Counted(more, "key"))
		}
	}
	return c
}

// invariant reads what the monitor found. No finding over no sample is no pass. untold is why there was no monitor.
func invariant(rule harness.Rule, seen harness.Observed, untold error) Check {
	answers := seen.Samples - seen.Failed
	c := Check{Verdict: Pass, Looked: Counted(answers, "answer") + " of members"}
	compared := answers
	switch rule {
	case harness.OneLeaderPerTerm:
		compared = len(seen.Elections)
		c.Looked += fmt.Sprintf(", %s with a leader", Counted(compared, "term"))
	case harness.EqualStateHash:
		compared = seen.Compared
		c.Looked += ", " + Counted(compared, "comparison")
	}
	switch {
	case untold != nil:
		c.Verdict, c.Reason = Unknown, "nobody can ask the members: "+text(untold)
	case compared == 0:
		c.Verdict, c.Reason = Unknown, "there was nothing to compare"
	default:
		if c.Reason = saysNothing(rule, seen); c.Reason != "" {
			c.Verdict = Unknown
		}
	}
	for _, f := range seen.Findings {
		if f.Rule == rule {
			c.Verdict, c.Reason = Fail, fmt.Sprintf("at %v: %s", short(f.At), f.Text)
			break
		}
	}
	return c
}

// hashedMin: clients write all the time, so that of so many applied indexes some have another state than others.
const hashedMin = 10

// saysNothing is why answers that are all alike prove nothing: an adapter that leaves out what a member told, or a member that tells
// nothing of itself, agrees with everybody.
func saysNothing(rule harness.Rule, seen harness.Observed) string {
	switch {
	case rule == harness.CommitMonotonic && seen.Commit == 0:
		return "no member told a commit index"
	case rule == harness.EqualStateHash && seen.Applied < 2:
		return "members told the same applied index all along, while clients wrote"
	case rule == harness.EqualStateHash && seen.Hashes == 1 && seen.Hashed >= hashedMin:
		return fmt.Sprintf("%s applied indexes have one and the same hash, which says nothing of the state then", thousands(seen.Hashed))
	}
	return ""
}

// drawnKeysMax bounds the pictures: who has seen five need not see fifty. The report says how many there are.
const drawnKeysMax = 5

// draw makes a page for each failing key, with the faults above the operations. A page that cannot be made
// changes no verdict; it is said in the report.
func (p *progress) draw(ctx context.Context, history linearizability.History, failing []linearizability.KeyReport) {
	var windows []linearizability.Window
	for _, w := range p.result.Windows {
		if w.To == w.From {
			continue // it was skipped before anything was done
		}
		windows = append(windows, linearizability.Window{
			Name: fmt.Sprintf("#%d %s", w.Fault, w.What), Detail: fmt.Sprintf("%s: %s", names(w.Nodes), w.Evidence.Says),
			From: w.From, To: w.To,
		})
	}
	p.result.Undrawn = max(len(failing)-drawnKeysMax, 0)
	for _, key := range failing[:len(failing)-p.result.Undrawn] {
		path, err := linearizability.DrawFile(ctx, p.Dir.Dir(), history.Operations, key.Key, windows, linearizability.Options{})
		if err != nil {
			path = text(err)
		}
		p.result.Drawings = append(p.result.Drawings, path)
	}
}
