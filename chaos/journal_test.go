package chaos

import (
	"os"
	"path/filepath"
	"testing"

	"raftlab/harness"
)

func TestAnIntentWithoutAHealIsUnfinished(t *testing.T) {
	path := filepath.Join(t.TempDir(), "faults.jsonl")
	j, err := CreateJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []Entry{
		{Step: Intent, Fault: 1}, {Step: Applied, Fault: 1}, {Step: Healed, Fault: 1}, {Step: Observed, Fault: 1},
		{Step: Intent, Fault: 2}, {Step: Applied, Fault: 2}, {Step: Healed, Fault: 2, Error: "no such member"},
		{Step: Intent, Fault: 3, Nodes: []string{"n2"}, Processes: map[string]harness.Probe{"n2": running}},
	} {
		if err := j.Write(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	// A lab that is killed while it writes leaves half a line.
	torn, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	torn.WriteString(`{"step":"inte`)
	torn.Close()

	open, err := Unfinished(path)
	if err != nil || len(open) != 2 || open[0].Fault != 2 || open[1].Fault != 3 {
		t.Fatalf("got %+v, %v; want the intents 2 and 3", open, err)
	}
	if p := open[1].Processes["n2"]; p.PID != running.PID || !p.Started.Equal(running.Started) {
		t.Errorf("the process to look for came back as %+v", p)
	}
	if err := CloseIntents(path, open); err != nil {
		t.Fatal(err)
	}
	if open, err := Unfinished(path); err != nil || len(open) != 0 {
		t.Errorf("after closing them: got %v, %v", open, err)
	}
	if _, err := CreateJournal(path); err == nil {
		t.Error("a journal was overwritten")
	}
	if open, err := Unfinished(filepath.Join(t.TempDir(), "none")); err != nil || open != nil {
		t.Errorf("no journal: got %v, %v", open, err)
	}
}
