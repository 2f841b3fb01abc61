package serve

import (
	"fmt"
	"html/template"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"raftlab/chaos/report"
	"raftlab/linearizability"
)

// row is one thing that both runs have, or one of them.
type row struct {
	Label string
	A, B  string
	Group string // heading before it, where a group begins
}

// Differs says whether a person should look.
func (r row) Differs() bool { return r.A != r.B }

// compare is two runs side by side: ?run=A&run=B.
func (s *Server) compare(w http.ResponseWriter, r *http.Request) {
	names := r.URL.Query()["run"]
	if len(names) != 2 || names[0] == names[1] {
		http.Error(w, fmt.Sprintf("choose two different runs to compare, not %d", len(slices.Compact(names))), http.StatusBadRequest)
		return
	}
	var runs [2]report.Run
	for i, name := range names {
		root, err := s.open(name)
		if err != nil {
			http.Error(w, "there is no run "+name, http.StatusNotFound)
			return
		}
		root.Close()
		run, err := report.Read(filepath.Join(s.config.Runs, name))
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		runs[i] = run
	}
	respond(w, comparePage, map[string]any{
		"A": runs[0], "B": runs[1], "Rows": rows(runs[0], runs[1]), "CSS": style(),
		"Charts": [2]template.HTML{runs[0].Timeline(), runs[1].Timeline()}, "Stories": [2]report.Story{runs[0].Story(), runs[1].Story()},
	})
}

func rows(a, b report.Run) []row {
	var all []row
	group := ""
	add := func(label, x, y string) {
		if x == "" && y == "" {
			return // an option that neither run has given
		}
		all = append(all, row{Label: label, A: x, B: y, Group: group})
		group = ""
	}
	both := func(label string, of func(report.Run) string) { add(label, of(a), of(b)) }
	group = "What was run"
	both("scenario", func(r report.Run) string { return r.Scenario })
	both("seed", func(r report.Run) string { return fmt.Sprint(r.Seed) })
	both("system", func(r report.Run) string { return r.System })
	both("world", func(r report.Run) string { return r.World })
	both("members", func(r report.Run) string { return strings.Join(r.Members, " ") })
	merged(a.Options, b.Options, func(name string, x, y any) { add(strings.ReplaceAll(name, "_", " "), text(x), text(y)) })
	both("schedule", func(r report.Run) string { return strings.Join(r.Schedule, "\n") })

	group = "How it went"
	both("took", func(r report.Run) string { return short(r.Took) })
	both("operations", func(r report.Run) string {
		c := linearizability.Count(r.History.Operations)
		return fmt.Sprintf("%d: ok %d, failed %d, unknown %d", c.Operations, c.OK, c.Failed, c.Unknown)
	})
	for _, figure := range []struct {
		label string
		of    func(report.Run) time.Duration
	}{
		{"median latency", func(r report.Run) time.Duration { return r.Served.Median }}, {"p99", func(r report.Run) time.Duration { return r.Served.P99 }},
		{"longest gap", func(r report.Run) time.Duration { return r.Served.LongestGap }}, {"without a leader", func(r report.Run) time.Duration { return r.Leaderless }},
	} {
		both(figure.label, func(r report.Run) string { return short(figure.of(r)) })
	}
	both("elections", func(r report.Run) string { return fmt.Sprint(r.Elections) })

	group = "Checks"
	merged(checks(a), checks(b), add)
	group = "Faults"
	merged(faults(a), faults(b), add)
	return all
}

func checks(r report.Run) map[string]string {
	told := map[string]string{}
	for _, c := range r.Checks {
		told[c.Name] = c.Verdict
		if c.Reason != "" {
			told[c.Name] += ": " + c.Reason
		}
	}
	return told
}

func faults(r report.Run) map[string]string {
	told := map[string]string{}
	for _, f := range r.Faults {
		told[fmt.Sprintf("#%d", f.Number)] = fmt.Sprintf("%s at %s: %s", f.Name(), strings.Join(f.Nodes, " "), f.Evidence.Outcome)
	}
	return told
}

// merged calls each for every name that either has, in order.
func merged[V any](a, b map[string]V, each func(name string, x, y V)) {
	var names []string
	for name := range a {
		names = append(names, name)
	}
	for name := range b {
		if _, both := a[name]; !both {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		if len(a) != len(b) && strings.HasPrefix(a, "#") {
			return len(a) - len(b) // #2 before #10
		}
		return strings.Compare(a, b)
	})
	for _, name := range names {
		each(name, a[name], b[name])
	}
}

func text(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}
