package report

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"raftlab/harness"
	"raftlab/linearizability"
)

// HistoryDigest is the SHA-256 of the history in a run directory, which run.json keeps: what is judged again, or drawn, must be
// what was judged. It is empty where there is none that can be read.
func HistoryDigest(dir string) string {
	digest, _ := digestOf(dir)
	return digest
}

func digestOf(dir string) (string, error) {
	file, err := harness.OpenFile(dir, harness.HistoryFile)
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// HistoryChanged says why the history is not the one that run.json is about, empty where it is, or where run.json does not tell. A
// lab before the digest told counts only.
func (r Run) HistoryChanged(dir string) string {
	if r.Digest == "" {
		if read := linearizability.Count(r.History.Operations); r.Counts != nil && *r.Counts != read {
			return fmt.Sprintf("history.jsonl: it is not the one that was judged; it has %+v, and run.json says %+v", read, *r.Counts)
		}
		return ""
	}
	digest, err := digestOf(dir)
	switch {
	case err != nil:
		return "history.jsonl: " + reason(err)
	case digest != r.Digest:
		return "history.jsonl: it is not the one that was judged; its SHA-256 is another than the one in run.json"
	}
	return ""
}

// Glance is run.json with the verdict that the rest of the directory bears out, as Read has it, for who does not need the rest: a
// history is held against its digest, and read only where a lab before the digest wrote none.
func Glance(dir string) (Summary, error) {
	var r Run
	if err := readJSON(dir, summaryName, &r.Summary); err != nil || r.Verdict != pass {
		return r.Summary, err
	}
	checked, err := r.readChecks(dir)
	whole := true
	if r.Digest == "" {
		history, unread := harness.ReadHistory(dir)
		r.History, whole = history, unread == nil && !r.torn(history)
	}
	r.bearOut(r.HistoryChanged(dir), checked, err, whole)
	return r.Summary, nil
}

// torn: a history that shows nothing, or not all that was recorded.
func (Run) torn(h linearizability.History) bool { return len(h.Operations) == 0 || h.Torn != "" }

// bearOut holds what run.json says against the rest of the directory: how its history has changed, and the verdict that its checks say
// together, or why they cannot be read. A PASS that something there speaks against is none.
func (r *Run) bearOut(changed, checked string, unread error, whole bool) {
	var against []string
	if changed != "" {
		against = append(against, changed)
	}
	switch {
	case unread != nil:
		against = append(against, "check.json: "+reason(unread))
	case len(r.Checks) == 0:
		against = append(against, "check.json: there are no checks in it")
	}
	if checked != "" && checked != r.Verdict {
		against = append(against, fmt.Sprintf("check.json: it says %s", checked))
	}
	if !whole {
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
