package linearizability

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// drawn is the data inside porcupine's page.
type drawn struct {
	Partitions []struct {
		History               []struct{ Description, Metadata string }
		PartialLinearizations []any
	}
	Annotations []struct {
		ClientId         int
		Tag, Description string
		Details          string
	}
}

func dataOf(t *testing.T, page []byte) (d drawn) {
	t.Helper()
	for _, m := range regexp.MustCompile(`\{"Partitions":.*\}`).FindAll(page, -1) {
		if err := json.Unmarshal(m, &d); err != nil {
			t.Fatal(err)
		}
		return d
	}
	t.Fatal("no data in the page")
	return d
}

func TestAFailingKeyIsDrawn(t *testing.T) {
	dir := t.TempDir()
	ops := read(t, "phantom-failure").Operations
	ops = append(ops, Operation{ID: 9, Process: 9, Kind: Get, Key: "k", Call: 50 * time.Millisecond, Result: Result{Outcome: Unknown, Error: "</script>"}})
	path, err := DrawFile(t.Context(), dir, ops, "k",
		[]Window{{Name: "isolate n1", Detail: "dropped 12 packets", From: 15 * time.Millisecond, To: 60 * time.Millisecond}}, Options{})
	if err != nil || path != filepath.Join(dir, "linear-k.html") {
		t.Fatal(path, err)
	}
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d := dataOf(t, page)
	if len(d.Partitions) != 1 || len(d.Partitions[0].History) != 2 || len(d.Partitions[0].PartialLinearizations) == 0 {
		t.Fatalf("%+v", d)
	}
	if got := d.Partitions[0].History[1]; got.Description != "#3 get = v2" || got.Metadata != "client 2 at n3" {
		t.Errorf("%+v", got)
	}
	var notes []string
	for _, a := range d.Annotations {
		notes = append(notes, a.Tag+"|"+a.Description+"|"+a.Details)
	}
	want := "faults|isolate n1|dropped 12 packets\n" +
		"|put v2 (#2 at n2) failed|client 1 at n2, error not leader\n" +
		"|get (#9 at no node) without an answer|client 0 at , error </script>"
	if got := strings.Join(notes, "\n"); got != want {
		t.Errorf("annotations\n%s\nwant\n%s", got, want)
	}
	if bytes.Contains(page, []byte("error </script>")) {
		t.Error("text of the store is part of the page's code")
	}
}

func TestEveryPlantedViolationCanBeDrawn(t *testing.T) {
	for _, p := range planted {
		var page bytes.Buffer
		if err := Draw(t.Context(), &page, read(t, p.file).Operations, "k", nil, Options{}); err != nil {
			t.Errorf("%s: %v", p.file, err)
		}
		dataOf(t, page.Bytes())
	}
}

func TestWhatCannotBeDrawnLeavesNoFile(t *testing.T) {
	dir := t.TempDir()
	many := make([]Operation, 0, drawnMax+1)
	for i := range drawnMax + 1 {
		many = append(many, ok(int64(i+1), Get, "", time.Duration(2*i+1), time.Duration(2*i+2)))
	}
	for name, draw := range map[string]func() (string, error){
		"no such key": func() (string, error) {
			return DrawFile(t.Context(), dir, read(t, "honest").Operations, "other", nil, Options{})
		},
		"ill-formed": func() (string, error) {
			return DrawFile(t.Context(), dir, []Operation{{ID: 1, Kind: Get, Key: "k"}}, "k", nil, Options{})
		},
		"too many": func() (string, error) { return DrawFile(t.Context(), dir, many, "k", nil, Options{}) },
		"too long": func() (string, error) {
			return DrawFile(t.Context(), dir, hard(), "k", nil, Options{KeyTimeout: 50 * time.Millisecond})
		},
		"too large": func() (string, error) {
			return DrawFile(t.Context(), dir, hard(), "k", nil, Options{MemoryBytes: 1 << 20})
		},
	} {
		path, err := draw()
		if !errors.Is(err, ErrNotDrawn) || path != "" {
			t.Errorf("%s: %q, %v", name, path, err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestDrawingsHaveSafeAndDifferentNames(t *testing.T) {
	seen := map[string]string{}
	for _, key := range []string{
		"k", "K", "k/1", "../k", "..", "", "a b", "a~20b", "ü", "%2e", strings.Repeat("x", 512), strings.Repeat("x", 511) + "y", strings.Repeat("/", 512),
	} {
		name := DrawingName(key)
		if other, ok := seen[strings.ToLower(name)]; ok {
			t.Errorf("%q and %q are both drawn into %s", key, other, name)
		}
		seen[strings.ToLower(name)] = key
		if len(name) > 200 || !regexp.MustCompile(`^linear-[a-z0-9._~-]*\.html$`).MatchString(name) {
			t.Errorf("%q is drawn into %s", key, name)
		}
	}
}

// Porcupine's page puts an operation's metadata and the states into its tooltip as HTML.
func TestWhatAStoreSaidIsNoMarkupInADrawing(t *testing.T) {
	evil := `<img src=x onerror=alert(1)>`
	read := "other"
	ops := []Operation{
		{ID: 1, Process: 1, Kind: Put, Key: "k", Value: evil, Call: 1, Return: 2, Result: Result{Outcome: OK, ServedBy: evil}},
		{ID: 2, Process: 2, Kind: Put, Key: "k", Value: "b", Call: 3, Return: 4, Result: Result{Outcome: Unknown, Error: evil}},
		{ID: 3, Process: 3, Kind: Get, Key: "k", Call: 5, Return: 6, Result: Result{Outcome: OK, Got: &read}},
	}
	var page bytes.Buffer
	if err := Draw(t.Context(), &page, ops, "k", nil, Options{}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(page.String(), `\u0026lt;img`) {
		t.Error("nothing of it is in the page")
	}
	for _, field := range regexp.MustCompile(`"(Metadata|StateDescription)":"[^"]*"`).FindAllString(page.String(), -1) {
		if strings.Contains(field, `\u003c`) {
			t.Errorf("markup: %s", field)
		}
	}
}
