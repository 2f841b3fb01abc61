package chaos

import (
	"time"

	"raftlab/harness"
)

// Judge compares the members' clocks with the lab's, and what they say with what they did: a member that only says that its
// clock is wrong, and ticks on as before, was not tested.
func (b *bentClock) Judge(i *Injected, f *Findings) {
	if len(b.bends) == 0 {
		f.Require(false, "no clock was bent")
		return
	}
	for _, node := range i.Nodes {
		j := clockOf{f, node, b.bends[node], b.before[node], b.bent[node], b.during[node], b.straightened[node], b.after[node]}
		if !j.complete() {
			continue
		}
		j.off("before", j.before, 0)
		switch {
		case j.bend.Rate != 0:
			j.judgeRate()
		default:
			j.judgeStep()
		}
		j.off("after", j.straightened, 0)
		j.off("after", j.after, 0)
		if rate, ok := j.rate(j.straightened, j.after); ok {
			f.Require(rate > 0.5 && rate < 1.5, "%s: after the undo its clock runs at %.2f", node, rate)
		}
		f.Require(j.after.Ticks > j.straightened.Ticks, "%s: nothing ticks after the undo", node)
	}
}

// clockOf is what was read of one member.
type clockOf struct {
	f                                         *Findings
	node                                      string
	bend                                      harness.Bend
	before, bent, during, straightened, after harness.ClockReading
}

// complete says whether every reading is there, each later than the one before.
func (j clockOf) complete() bool {
	last := time.Time{}
	for _, r := range []struct {
		when string
		harness.ClockReading
	}{{"before", j.before}, {"when it was bent", j.bent}, {"during the fault", j.during}, {"after the undo", j.straightened}, {"later", j.after}} {
		if !r.At.After(last) || r.TickEvery <= 0 {
			j.f.Require(false, "%s: its clock was not read %s", j.node, r.when)
			return false
		}
		last = r.At
	}
	return true
}

// off requires that a clock is wrong by so much.
func (j clockOf) off(when string, r harness.ClockReading, want time.Duration) {
	give := clockGive + r.Give
	j.f.Require((r.Off()-want).Abs() <= give, "%s: %s its clock was off by %v, want %v (give or take %v)", j.node, when,
		r.Off().Round(time.Millisecond), want, give.Round(time.Millisecond))
}

// rate is how fast the clock went between two readings, if they are far enough apart to tell.
func (j clockOf) rate(from, to harness.ClockReading) (float64, bool) {
	took := to.At.Sub(from.At)
	if took < clockStepMin/2 || took < 4*(from.Give+to.Give) {
		return 0, false
	}
	return float64(to.Reads.Sub(from.Reads)) / float64(took), true
}

// ticked is how much time the member's protocol was told of between two readings.
func ticked(from, to harness.ClockReading) time.Duration {
	return time.Duration(to.Ticks-from.Ticks) * to.TickEvery
}

// judgeStep wants the clock wrong by the step, at once and as long as the fault lasts, and of a jump that the member
// acted on it. On a busy machine ticks are lost, so what is asked for is half of what there should be.
func (j clockOf) judgeStep() {
	step := j.bend.Jump + j.bend.Offset
	j.off("bent", j.bent, step)
	j.off("during the fault", j.during, step)
	lasted := j.during.At.Sub(j.before.At)
	acted := ticked(j.before, j.during)
	switch {
	case j.bend.Jump > 0:
		most := min(j.bend.Jump, clockTicksAtOnce*j.bent.TickEvery)
		lasted, acted := j.bent.At.Sub(j.before.At), ticked(j.before, j.bent)
		j.f.Require(acted >= lasted+most/2, "%s: it was told of %v in %v, though its clock was stepped forward by %v", j.node, round(acted), round(lasted), j.bend.Jump)
	case j.bend.Jump < 0:
		held := min(-j.bend.Jump, lasted)
		j.f.Require(acted <= lasted-held/2, "%s: it was told of %v in %v, though its clock was stepped back by %v", j.node, round(acted), round(lasted), -j.bend.Jump)
	}
	j.f.Say("%s off by %v, then by %v; told of %v in %v", j.node, round(j.bent.Off()), round(j.after.Off()), round(acted), round(lasted))
}

// judgeRate wants the clock to have gone at the rate, and the protocol at least half of the way there.
func (j clockOf) judgeRate() {
	rate, ok := j.rate(j.bent, j.during)
	if !ok {
		j.f.Require(false, "%s: the fault was too short to tell how fast its clock went", j.node)
		return
	}
	want := j.bend.Rate
	j.f.Require(rate > want*0.8 && rate < want*1.25, "%s: its clock ran at %.2f, want %.2f", j.node, rate, want)
	lasted := j.during.At.Sub(j.bent.At)
	acted := float64(ticked(j.bent, j.during)) / float64(lasted)
	if want > 1 {
		j.f.Require(acted > 1+(want-1)/4, "%s: it ticked at %.2f, want about %.2f", j.node, acted, want)
	} else {
		j.f.Require(acted < (1+want)/2, "%s: it ticked at %.2f, want about %.2f", j.node, acted, want)
	}
	after, _ := j.rate(j.straightened, j.after)
	j.f.Say("%s ran at %.2f and ticked at %.2f, then ran at %.2f", j.node, rate, acted, after)
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
