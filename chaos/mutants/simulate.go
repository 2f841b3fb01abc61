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

var seedFailed = regexp.MustCompile(`sim_test.go:\d+: seed (\d+): ([a-z0-9 -]+), after [^:]*: (.*)`)

// simulate runs seeds from one on, until one fails that does not fail without the bug. States counts them.
func (m *Museum) simulate(ctx context.Context, binary string, from int) (f Finding) {
	ctx, cancel := context.WithTimeout(ctx, simulateEnd)
	defer cancel()
	for seed := from; seed < from+m.Seeds && ctx.Err() == nil; seed++ {
		failed, check, seconds := m.seeds(ctx, binary, seed, from+m.Seeds-seed)
		f.Seconds += seconds
		if check == "" {
			return f
		}
		seed = failed
		honest, err := m.unpatched(ctx, "./node/sim")
		if err != nil {
			f.Trouble = err.Error()
			return f
		}
		if _, anyway, _ := m.seeds(ctx, honest, seed, 1); anyway == "" && ctx.Err() == nil {
			f.Found, f.Check, f.States = true, check, seed-from+1
			return f
		}
	}
	return f
}

// seeds runs so many, and returns the first that failed, and how.
func (m *Museum) seeds(ctx context.Context, binary string, from, count int) (failed int, check string, seconds float64) {
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
		return from, err.Error(), 0
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	failed = from
	for check == "" && lines.Scan() {
		if what := seedFailed.FindStringSubmatch(lines.Text()); what != nil {
			failed, _ = strconv.Atoi(what[1])
			check = what[2] + ": " + what[3]
		} else if p := panicked.FindStringSubmatch(lines.Text()); p != nil {
			check = "panic: " + p[1]
		}
	}
	cancel()
	_ = run.Wait()
	return failed, check, (run.ProcessState.UserTime() + run.ProcessState.SystemTime()).Seconds()
}
