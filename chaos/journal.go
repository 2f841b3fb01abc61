package chaos

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"raftlab/harness"
)

// Journal is faults.jsonl: what was going to be broken, what was done, what was seen, what was healed. A line
// is on disk before Write returns, so that an intent outlives a lab that is killed while its fault is in force.
type Journal struct {
	mu   sync.Mutex
	file *os.File
}

// Step is the place of an entry in the life of a fault.
type Step string

const (
	Intent   Step = "intent"   // written before anything is done
	Applied  Step = "applied"  // in force, or Error says why not
	Healed   Step = "healed"   // undone, or Error says why not
	Observed Step = "evidence" // judged
)

// Entry is one line of the journal.
type Entry struct {
	Step  Step          `json:"step"`
	Fault int           `json:"fault"` // number in the schedule, from 1
	At    time.Duration `json:"at_ns"` // on the clock of the history
	Wall  time.Time     `json:"wall"`
	What  Fault         `json:"what"`
	Nodes []string      `json:"nodes"`
	World string        `json:"world"`
	// Processes are the members that the intent is about to hit, for `raftlab clean` to find.
	Processes map[string]harness.Probe `json:"processes,omitempty"`
	Evidence  *Evidence                `json:"evidence,omitempty"`
	Error     string                   `json:"error,omitempty"`
}

// CreateJournal refuses to overwrite one.
func CreateJournal(path string) (*Journal, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("chaos: create journal: %w", err)
	}
	return &Journal{file: file}, nil
}

// Write appends e and syncs it.
func (j *Journal) Write(e Entry) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	line, err := json.Marshal(e)
	if err == nil {
		_, err = j.file.Write(append(line, '\n'))
	}
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("chaos: write journal: %w", err)
	}
	return nil
}

func (j *Journal) Close() error { return j.file.Close() }

// Unfinished lists the intents in a journal that no heal without an error follows. A last line that was torn
// by a crash is ignored: an intent is complete on disk before anything is done.
func Unfinished(path string) ([]Entry, error) {
	file, err := harness.OpenFile(filepath.Split(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	open := make(map[int]Entry)
	last := 0
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var e Entry
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue
		}
		last = max(last, e.Fault)
		switch {
		case e.Step == Intent:
			open[e.Fault] = e
		case e.Step == Healed && e.Error == "":
			delete(open, e.Fault)
		}
	}
	var unfinished []Entry
	for n := 1; n <= last; n++ {
		if e, ok := open[n]; ok {
			unfinished = append(unfinished, e)
		}
	}
	return unfinished, nil
}

// NoteIntent appends an intent to a journal that may be there already, with the next number.
func NoteIntent(path string, e Entry) error {
	e.Fault = 1
	raw, err := harness.ReadFile(filepath.Split(path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("chaos: read journal: %w", err)
	}
	for line := range strings.Lines(string(raw)) {
		var before Entry
		if json.Unmarshal([]byte(line), &before) == nil {
			e.Fault = max(e.Fault, before.Fault+1)
		}
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("chaos: open journal: %w", err)
	}
	j := &Journal{file: file}
	return errors.Join(j.Write(e), j.Close())
}

// CloseIntents marks intents as healed by other means, after what they left has been removed.
func CloseIntents(path string, open []Entry) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	j := &Journal{file: file}
	_, err = file.WriteString("\n") // the last line may be torn
	for _, e := range open {
		err = errors.Join(err, j.Write(Entry{Step: Healed, Fault: e.Fault, Wall: time.Now().UTC(), What: e.What, Nodes: e.Nodes, World: e.World}))
	}
	return errors.Join(err, j.Close())
}
