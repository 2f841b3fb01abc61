package report

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"raftlab/harness"
	"raftlab/linearizability"
)

const summaryName = "run.json"

// ErrNoRun is returned for a directory in which no run has written anything.
var ErrNoRun = errors.New("report: no run")

// Read reads a run directory. What is missing or damaged is named in Run.Missing; only a directory without any trace of a
// run is an error.
func Read(dir string) (Run, error) {
	if real, err := filepath.EvalSymlinks(dir); err == nil { // runs/latest
		dir = real
	}
	r := Run{Name: filepath.Base(dir)}
	if abs, err := filepath.Abs(dir); err == nil {
		r.Name = filepath.Base(abs)
	}
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return Run{}, fmt.Errorf("%w in %s: it is no directory; give one such as runs/latest", ErrNoRun, dir)
	}
	summary := readJSON(dir, summaryName, &r.Summary)
	history, err := harness.ReadHistory(dir)
	if errors.Is(summary, fs.ErrNotExist) && errors.Is(err, fs.ErrNotExist) {
		return Run{}, fmt.Errorf("%w in %s: it has neither run.json nor history.jsonl; give a directory such as runs/latest", ErrNoRun, dir)
	}
	r.History = history
	if err != nil && !(errors.Is(err, fs.ErrNotExist) && r.Verdict == environment) {
		r.Missing = append(r.Missing, "history.jsonl: "+reason(err))
	}
	if history.Torn != "" {
		r.Missing = append(r.Missing, "history.jsonl: "+history.Torn)
	}
	if summary != nil {
		r.Missing = append(r.Missing, "run.json: "+reason(summary))
		r.unfinished(dir, summary)
	} else {
		checked, err := r.readChecks(dir)
		if err != nil {
			r.Missing = append(r.Missing, "check.json: "+reason(err))
		}
		changed := r.HistoryChanged(dir)
		if changed != "" && !slices.Contains(r.Missing, changed) {
			r.Missing = append(r.Missing, changed)
		}
		r.bearOut(changed, checked, err, !r.torn(history))
	}
	if r.Samples, err = harness.ReadSamples(dir); err != nil {
		r.Missing = append(r.Missing, "samples of the members: "+reason(err))
	}
	if len(r.Samples) == 0 && len(r.History.Operations) > 0 {
		r.Missing = append(r.Missing, "nodes/*/status.jsonl: there are no samples of the members, so no lanes are drawn")
	}
	r.Files = list(dir)
	return r, nil
}

// readChecks returns the verdict that they say together.
func (r *Run) readChecks(dir string) (string, error) {
	var checks struct {
		Verdict      string                 `json:"verdict"`
		Checks       []Check                `json:"checks"`
		Linearizable linearizability.Report `json:"linearizable"`
		Observed     harness.Observed       `json:"observed"`
	}
	if err := readJSON(dir, "check.json", &checks); err != nil {
		return "", err
	}
	r.Checks, r.Linearizable, r.Observed = checks.Checks, checks.Linearizable, checks.Observed
	if r.Gaps == nil {
		r.Gaps = r.Observed.Leaderless
	}
	return checks.Verdict, nil
}

// unfinished fills in what the other files say of a run whose lab ended before it wrote a verdict, or whose verdict cannot be read.
func (r *Run) unfinished(dir string, why error) {
	r.Verdict, r.ExitCode = unknown, 2
	r.Reason = "the lab ended before it wrote its verdict, so nothing was judged; raftlab check judges the history"
	if !errors.Is(why, fs.ErrNotExist) {
		r.Damaged = reason(why)
		r.Reason = "its verdict cannot be read: run.json: " + r.Damaged
	}
	r.Seed, r.Started = uint64(r.History.Header.Seed), r.History.Header.Started
	meta := r.History.Header.Meta
	r.Scenario, r.System, r.World = meta["scenario"], meta["system"], meta["world"]
	faults, err := readJournal(dir, "faults.jsonl", r.end())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.Missing = append(r.Missing, "faults.jsonl: "+reason(err))
	}
	r.Faults = faults
	r.Took = r.end()
}

// readJournal makes windows out of the journal: one that was never healed lasts to the end.
func readJournal(dir, name string, end time.Duration) ([]Fault, error) {
	file, err := harness.OpenFile(dir, name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	byNumber := map[int]*Fault{}
	var order []int
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var e struct {
			Step     string          `json:"step"`
			Fault    int             `json:"fault"`
			At       time.Duration   `json:"at_ns"`
			What     json.RawMessage `json:"what"`
			Nodes    []string        `json:"nodes"`
			Evidence *Evidence       `json:"evidence"`
		}
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue // torn by the crash that ended the lab
		}
		f := byNumber[e.Fault]
		if f == nil {
			f = &Fault{Number: e.Fault, What: e.What, Nodes: e.Nodes, From: e.At, InForce: e.At, To: max(end, e.At), Quorum: true,
				Evidence: Evidence{Outcome: "indeterminate", Says: "the lab ended while it was in force"}}
			byNumber[e.Fault], order = f, append(order, e.Fault)
		}
		switch e.Step {
		case "applied":
			f.InForce = e.At
		case "healed":
			f.To, f.Evidence.Says = e.At, "the lab ended before it was judged"
		case "evidence":
			if e.Evidence != nil {
				f.Evidence = *e.Evidence
			}
		}
	}
	slices.Sort(order)
	var faults []Fault
	for _, n := range order {
		faults = append(faults, *byNumber[n])
	}
	return faults, nil
}

func readJSON(dir, name string, into any) error {
	data, err := harness.ReadFile(dir, name)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

// reason is an error without the path, which has been said.
func reason(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}

// filesMax bounds the list of files: data of members may be many.
const filesMax = 200

// list names the files of the run, those that the report itself makes left out, and the data of members too.
func list(dir string) []File {
	var files []File
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		name, relErr := filepath.Rel(dir, path)
		if err != nil || relErr != nil {
			return nil
		}
		name = filepath.ToSlash(name)
		switch {
		case d.IsDir() && name == "data":
			return fs.SkipDir
		case d.IsDir() || name == FileName || name == suiteName || strings.HasSuffix(name, ".new") || len(files) == filesMax:
			return nil
		}
		if info, err := d.Info(); err == nil {
			files = append(files, File{name, info.Size()})
		}
		return nil
	})
	return files
}
