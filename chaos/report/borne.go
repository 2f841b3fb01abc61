package report

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"raftlab/linearizability"
)

// HistoryDigest is the SHA-256 of the history in a run directory, which run.json keeps: what is judged again, or drawn, must be
// what was judged. It is empty where there is none.
func HistoryDigest(dir string) string {
	file, err := os.Open(filepath.Join(dir, "history.jsonl"))
	if err != nil {
		return ""
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return ""
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// HistoryChanged says why the history is not the one that run.json is about, empty where it is, or where run.json does not tell. A
// lab before the digest told counts only.
func (r Run) HistoryChanged(dir string) string {
	read := linearizability.Count(r.History.Operations)
	switch {
	case r.Digest != "" && HistoryDigest(dir) != r.Digest:
		return "history.jsonl: it is not the one that was judged; its SHA-256 is another than the one in run.json"
	case r.Digest == "" && r.Counts != nil && *r.Counts != read:
		return fmt.Sprintf("history.jsonl: it is not the one that was judged; it has %+v, and run.json says %+v", read, *r.Counts)
	}
	return ""
}

// bearOut holds what run.json says against the rest of the directory. A PASS that something there speaks against is none.
func (r *Run) bearOut(dir, checked string) {
	var against []string
	if changed := r.HistoryChanged(dir); changed != "" {
		r.Missing = append(r.Missing, changed)
		against = append(against, changed)
	}
	if checked != "" && checked != r.Verdict {
		against = append(against, fmt.Sprintf("check.json: it says %s", checked))
	}
	if len(r.Checks) == 0 {
		against = append(against, "check.json: there are no checks in it")
	}
	if len(r.History.Operations) == 0 || r.History.Torn != "" {
		against = append(against, "history.jsonl: it is not whole")
	}
	for _, c := range r.Checks {
		if !c.fine() {
			against = append(against, fmt.Sprintf("check.json: %s is %s", c.Name, c.Verdict))
		}
	}
	for _, f := range r.Faults {
		if f.Evidence.Outcome != "installed" {
			against = append(against, fmt.Sprintf("fault #%d is %s", f.Number, f.Evidence.Outcome))
		}
	}
	if r.Verdict == pass && len(against) > 0 {
		r.Verdict, r.ExitCode = unknown, 2
		r.Reason = "run.json says PASS, and the directory does not bear it out: " + strings.Join(against, "; ")
	}
}
