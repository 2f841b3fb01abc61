package linearizability

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	head    = `{"type":"history","version":1,"started":"2026-11-23T12:00:00Z","seed":7}`
	callPut = `{"type":"invoke","id":1,"process":0,"client":0,"node":"n1","kind":"put","key":"k","value":"v","call_ns":10}`
	donePut = `{"type":"return","id":1,"process":0,"return_ns":20,"outcome":"ok"}`
)

func TestTheReaderNamesTheLineOfAnError(t *testing.T) {
	for _, c := range []struct {
		name, want string
		lines      []string
	}{
		{"empty file", "it is empty", nil},
		{"no header", "line 1: type \"invoke\"", []string{callPut}},
		{"second header", "line 2: type \"history\"", []string{head, head}},
		{"later version", "line 1: version 4", []string{strings.Replace(head, `"version":1`, `"version":4,"new":1`, 1)}},
		{"unknown type", "line 2: type \"fault\"", []string{head, `{"type":"fault"}`}},
		{"no JSON in the middle", "line 2: not a JSON record", []string{head, `{"type":"inv`, donePut}},
		{"no JSON in a whole last line", "line 2: not a JSON record", []string{head, `{"type":"inv`}},
		{"two values in a line", "line 3: not a JSON record", []string{head, callPut, donePut + donePut}},
		{"misspelt field", `line 2: not a record of this format: json: unknown field "vaule"`, []string{head, strings.Replace(callPut, "value", "vaule", 1)}},
		{"duplicate id", "line 3: operation 1 is called a second time", []string{head, callPut, callPut}},
		{"return without call", "line 2: operation 1 returns but was never called", []string{head, donePut}},
		{"second return", "line 4: operation 1 returns a second time", []string{head, callPut, donePut, donePut}},
		{"another process", "line 3: operation 1 was called by process 0 and returns to process 4", []string{head, callPut, strings.Replace(donePut, `"process":0`, `"process":4`, 1)}},
		{"time backwards", "line 3: time goes backwards, from 10 to 9 ns", []string{head, callPut, strings.Replace(donePut, "20", "9", 1)}},
		{"no time", "line 2: time 0 ns is not after the start", []string{head, strings.Replace(callPut, `,"call_ns":10`, "", 1)}},
		{"no outcome", `line 3: operation 1: outcome "" is none of`, []string{head, callPut, strings.Replace(donePut, `,"outcome":"ok"`, "", 1)}},
		{"unknown kind", `line 2: kind "read" is none of`, []string{head, strings.Replace(callPut, `"put"`, `"read"`, 1)}},
		{"a put that got", "line 3: operation 1: a put that is ok cannot have got a value", []string{head, callPut, strings.Replace(donePut, `}`, `,"got":"x"}`, 1)}},
		{"no id", "line 2: id 0 is not positive", []string{head, strings.Replace(callPut, `"id":1`, `"id":0`, 1)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Join(c.lines, "\n")
			if len(c.lines) > 0 {
				text += "\n"
			}
			_, err := Read(strings.NewReader(text))
			if !errors.Is(err, ErrHistory) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v\nwant %q", err, c.want)
			}
		})
	}
}

func TestALineThatIsTooLongIsRefused(t *testing.T) {
	long := strings.Replace(callPut, `"v"`, `"`+strings.Repeat("v", lineBytesMax)+`"`, 1)
	if _, err := Read(strings.NewReader(head + "\n" + long)); !errors.Is(err, ErrHistory) || !strings.Contains(err.Error(), "line 2: longer than") {
		t.Errorf("%.200v", err)
	}
}

func TestAMissingFileIsAnError(t *testing.T) {
	if _, err := ReadFile(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// Whatever the bytes: an error or a history, no panic; and what was read and is well-formed gets a verdict.
func FuzzRead(f *testing.F) {
	files, err := filepath.Glob("testdata/*.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(head + "\n" + callPut + "\n" + donePut + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := Read(bytes.NewReader(b))
		if err != nil {
			if !errors.Is(err, ErrHistory) {
				t.Fatalf("error without its class: %v", err)
			}
			return
		}
		for _, op := range h.Operations {
			if op.Outcome == "" {
				t.Fatalf("operation %d has no outcome", op.ID)
			}
		}
		if len(h.Operations) < 30 {
			Check(t.Context(), h.Operations, Options{KeyTimeout: 50 * time.Millisecond, MemoryBytes: 32 << 20})
		}
	})
}
