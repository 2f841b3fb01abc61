package serve

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"raftlab/chaos/report"
	"raftlab/harness"
)

var (
	//go:embed runs.html
	runsHTML string
	//go:embed compare.html
	compareHTML string
	//go:embed serve.css
	serveCSS string

	functions = template.FuncMap{
		"mark": report.Mark, "lower": strings.ToLower,
		"short": short,
		"when": func(t time.Time) string {
			if t.IsZero() {
				return "–"
			}
			return t.Local().Format("2 Jan 2006, 15:04:05")
		},
	}
	runsPage    = template.Must(template.New("runs").Funcs(functions).Parse(runsHTML))
	comparePage = template.Must(template.New("compare").Funcs(functions).Parse(compareHTML))
)

// style is that of the reports, and a little more. The pages run no script at all.
func style() template.CSS { return report.Style() + template.CSS(serveCSS) }

func policy() string {
	sum := sha256.Sum256([]byte(style()))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
}

// listed is one run of the list.
type listed struct {
	Name string
	report.Summary
	Problem string // why there is no verdict
}

// list reads run.json of every run, the newest first, with the verdict that the run's directory bears out.
func (s *Server) list() ([]listed, error) {
	runs := s.config.Runs
	entries, err := os.ReadDir(runs)
	if err != nil {
		return nil, fmt.Errorf("there are no runs in %s yet: %w; raftlab run makes one", runs, err)
	}
	var all []listed
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue // links among them: runs/latest is one of the others
		}
		run := listed{Name: e.Name()}
		run.Summary, err = s.glance(filepath.Join(runs, e.Name()))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if _, none := os.Stat(filepath.Join(runs, e.Name(), harness.HistoryFile)); none != nil {
				continue // no run
			}
			run.Verdict, run.Problem = "RUNNING", "it goes on, or its lab was killed: there is no run.json"
		case err != nil:
			run.Verdict, run.Problem = "UNKNOWN", fmt.Sprintf("its verdict cannot be read: %v", err)
		}
		all = append(all, run)
	}
	slices.SortFunc(all, func(a, b listed) int { return cmp.Compare(b.Name, a.Name) }) // names begin with the time
	return all, nil
}

// glanced is what was read of a run while its files were these.
type glanced struct {
	files   [3]stamp
	summary report.Summary
}

type stamp struct {
	bytes    int64
	modified time.Time
}

// glance reads a run anew only where one of the files has changed that say its verdict: histories are long, and a list has many.
func (s *Server) glance(dir string) (report.Summary, error) {
	var files [3]stamp
	for i, name := range []string{"run.json", "check.json", harness.HistoryFile} {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil {
			files[i] = stamp{info.Size(), info.ModTime()}
		}
	}
	s.mu.Lock()
	known, ok := s.glanced[dir]
	s.mu.Unlock()
	if ok && known.files == files {
		return known.summary, nil
	}
	summary, err := report.Glance(dir)
	if err == nil {
		s.mu.Lock()
		s.glanced[dir] = glanced{files, summary}
		s.mu.Unlock()
	}
	return summary, err
}

// index is the list. It is filtered by ?verdict= and ?q=, words that scenario, seed, name or reason must hold.
func (s *Server) index(w http.ResponseWriter, r *http.Request) {
	all, problem := s.list()
	verdict, words := r.URL.Query().Get("verdict"), r.URL.Query().Get("q")
	counts := map[string]int{}
	for _, run := range all {
		counts[run.Verdict]++
	}
	shown := slices.DeleteFunc(slices.Clone(all), func(run listed) bool {
		if verdict == "failures" && run.Verdict == "PASS" || verdict != "" && verdict != "failures" && run.Verdict != verdict {
			return true
		}
		text := strings.ToLower(fmt.Sprint(run.Name, " ", run.Scenario, " ", run.Seed, " ", run.Reason, " ", run.World, " ", run.System))
		return slices.ContainsFunc(strings.Fields(strings.ToLower(words)), func(word string) bool { return !strings.Contains(text, word) })
	})
	respond(w, runsPage, map[string]any{
		"Runs": shown, "All": len(all), "Counts": counts, "Verdict": verdict, "Words": words, "Where": s.config.Runs, "Live": s.config.Lab != nil,
		"Problem": problem, "CSS": style(), "NotPass": len(all) - counts["PASS"],
	})
}

func respond(w http.ResponseWriter, page *template.Template, values any) {
	var b bytes.Buffer
	if err := page.Execute(&b, values); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", policy())
	w.Write(b.Bytes()) // an error means that the browser is gone
}

func short(d time.Duration) string {
	if d >= time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%.1f ms", float64(d)/1e6)
}
