package mutants

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// simulateEnd is when a try is given up. It ends by its number of seeds, so that a busy machine finds what an idle one finds.
const simulateEnd = 15 * time.Minute

// simulator runs seeds of the default swarm, a try from a million seeds on, until one fails.
func (m *Museum) simulator(ctx context.Context, mutant Mutant, overlay, dir string) Finding {
	f := Finding{}
	binary := filepath.Join(dir, "simulator")
	if err := m.goTest(ctx, overlay, "./node/sim", binary); err != nil {
		f.Trouble = err.Error()
		return f
	}
	var seconds, seeds []float64
	for try := 1; try <= m.Tries && ctx.Err() == nil; try++ {
		f.Tries++
		one := m.simulate(ctx, binary, try*1_000_000)
		f.Seconds += one.Seconds
		if one.Trouble != "" {
			f.Trouble = one.Trouble
		}
		if one.Found {
			f.Found, f.Hits, f.Check = true, f.Hits+1, one.Check
			seconds, seeds = append(seconds, one.Seconds), append(seeds, float64(one.States))
		}
	}
	f.Command = fmt.Sprintf("raftlab bugs %s --layers simulator", mutant.ID)
	if f.Found {
		f.Seconds, f.States = median(seconds), int(median(seeds))
	}
	return f
}

var (
	seedFailed = regexp.MustCompile(`sim_test.go:\d+: seed (\d+): ([a-z0-9 -]+), after [^:]*: (.*)`)
	seedsRan   = regexp.MustCompile(`sim_test.go:\d+: (\d+) seeds$`)
)

// simulate runs seeds from one on, until one fails that does not fail without the bug. States counts them.
func (m *Museum) simulate(ctx context.Context, binary string, from int) (f Finding) {
	ctx, cancel := context.WithTimeout(ctx, simulateEnd)
	defer cancel()
	for seed := from; seed < from+m.Seeds && ctx.Err() == nil; seed++ {
		one := m.seeds(ctx, binary, seed, from+m.Seeds-seed)
		f.Seconds += one.seconds
		if one.check == "" {
			f.Trouble = one.trouble
			return f
		}
		seed = one.failed
		honest, err := m.unpatched(ctx, "./node/sim")
		if err != nil {
			f.Trouble = err.Error()
			return f
		}
		count := 1
		if one.ended { // nobody has said at which seed
			count = from + m.Seeds - seed
		}
		control := m.seeds(ctx, honest, seed, count)
		switch {
		case ctx.Err() != nil:
		case control.trouble != "":
			f.Trouble = "without the bug: " + control.trouble
			return f
		case control.check == "" && one.kind != "simulator": // by which the simulator blames itself
			f.Found, f.Check, f.States = true, one.check, seed-from+1
			return f
		case one.ended:
			f.Trouble = one.check + ", and without the bug " + control.check
			return f
		}
	}
	if ctx.Err() != nil {
		f.Trouble = fmt.Sprintf("given up after %v", simulateEnd)
	}
	return f
}

// swarmed is what some seeds of the swarm showed.
type swarmed struct {
	failed      int    // the first seed that did
	kind, check string // how
	ended       bool   // the program did, and not the seed
	seconds     float64
	trouble     string // why nothing can be said
}

// seeds runs so many, until one fails.
func (m *Museum) seeds(ctx context.Context, binary string, from, count int) (s swarmed) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	run := exec.CommandContext(ctx, binary, "-test.v", "-test.run=^TestSwarmKeepsEveryPromise$", "-test.timeout=0")
	run.Dir = filepath.Join(m.Root, "node", "sim")
	run.Env = append(os.Environ(), fmt.Sprintf("SIM_SEED=%d", from), fmt.Sprintf("SIM_SEEDS=%d", count))
	out, err := run.StdoutPipe()
	if err == nil {
		err = run.Start()
	}
	if err != nil {
		s.trouble = err.Error()
		return s
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	s.failed = from
	ran, last := false, ""
	for s.check == "" && lines.Scan() {
		line := lines.Text()
		if strings.TrimSpace(line) != "" {
			last = strings.TrimSpace(line)
		}
		if what := seedFailed.FindStringSubmatch(line); what != nil {
			s.failed, _ = strconv.Atoi(what[1])
			s.kind, s.check = what[2], what[2]+": "+what[3]
		} else if p := panicked.FindStringSubmatch(line); p != nil {
			s.check, s.ended = "panic: "+p[1], true
		} else if seedsRan.MatchString(line) {
			ran = true
		}
	}
	interrupted := ctx.Err() != nil
	cancel()
	_ = run.Wait()
	if s.check == "" && !ran && !interrupted {
		s.trouble = "it does not say how many seeds it ran; its last word: " + last
	}
	s.seconds = (run.ProcessState.UserTime() + run.ProcessState.SystemTime()).Seconds()
	return s
}
