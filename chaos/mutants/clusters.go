package mutants

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// clusterRuns is how often a real cluster is broken before the bug counts as not convicted there.
const clusterRuns = 3

func (m Mutant) inClusters() bool { return m.Scenario != "" }

func (m *Museum) processes(ctx context.Context, mutant Mutant, _, dir string) Finding {
	return m.clusters(ctx, mutant, dir, "process")
}

func (m *Museum) containers(ctx context.Context, mutant Mutant, _, dir string) Finding {
	return m.clusters(ctx, mutant, dir, "docker")
}

var (
	convicted = regexp.MustCompile(`(?m)^check (.+?) +FAIL `)
	lasted    = regexp.MustCompile(`(?m)^elections .* took (\S+)$`)
)

// clusters runs the mutant's scenario with other seeds until a run fails. Seconds are of the clock, from the start of the
// cluster to the verdict.
func (m *Museum) clusters(ctx context.Context, mutant Mutant, dir, world string) (f Finding) {
	scenario := strings.Fields(mutant.Scenario)
	f.Command = fmt.Sprintf("raftlab run %s --mutant %s --backend %s", mutant.Scenario, mutant.ID, world)
	if m.Lab == "" {
		f.Trouble = "it is not known which program is the lab"
		return f
	}
	for f.Tries < clusterRuns && !f.Found && ctx.Err() == nil {
		f.Tries++
		args := append([]string{"run"}, scenario...)
		args = append(args, "--mutant", mutant.ID, "--backend", world, "--seed", fmt.Sprint(f.Tries), "--out", filepath.Join(dir, "runs"))
		run := exec.CommandContext(ctx, m.Lab, args...)
		run.Dir = m.Root
		gently(run)
		said, err := run.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) || exit != nil && exit.ExitCode() > 2 {
			lines := strings.Split(strings.TrimSpace(string(said)), "\n")
			f.Trouble = fmt.Sprintf("%v: %s", err, lines[len(lines)-1])
			return f
		}
		took := 0.0
		if text := lasted.FindSubmatch(said); text != nil {
			d, _ := time.ParseDuration(string(text[1]))
			took = d.Seconds()
		}
		check := convicted.FindSubmatch(said)
		if f.Found = exit != nil && exit.ExitCode() == 1 && check != nil; f.Found {
			f.Hits, f.Check, f.Seconds = 1, string(check[1]), took
		} else {
			f.Seconds += took
			if exit != nil {
				f.Unknown++
			}
		}
	}
	return f
}
