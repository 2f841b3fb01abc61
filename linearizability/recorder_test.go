package linearizability

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func newRecorder(t testing.TB, w io.Writer) *Recorder {
	t.Helper()
	r, err := NewRecorder(w, Header{Seed: 7, Meta: map[string]string{"scenario": "test"}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func invoke(t testing.TB, r *Recorder, op Operation) Operation {
	t.Helper()
	op, err := r.Invoke(op)
	if err != nil {
		t.Fatal(err)
	}
	return op
}

func giveBack(t testing.TB, r *Recorder, id int64, result Result) Operation {
	t.Helper()
	op, err := r.Return(id, result)
	if err != nil {
		t.Fatal(err)
	}
	return op
}

func TestWhatIsRecordedIsReadBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.jsonl")
	r, err := Create(path, Header{Seed: -3, Meta: map[string]string{"a": "b"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Create(path, Header{}); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second recorder on the same file: %v", err)
	}
	var want []Operation
	for i, c := range []struct {
		op     Operation
		result Result
	}{
		{Operation{Kind: Put, Key: "k", Value: "v1 \"<&>\u2028\n"}, Result{Outcome: OK, Index: 9, Term: 2, ServedBy: "n2"}},
		{Operation{Kind: Get, Key: "k", Phase: "final"}, Result{Outcome: OK, Got: Value("v1 \"<&>\u2028\n")}},
		{Operation{Kind: Get, Key: "k"}, Result{Outcome: OK}},
		{Operation{Kind: Put, Key: "k", Value: ""}, Result{Outcome: OK}},
		{Operation{Kind: Get, Key: "k"}, Result{Outcome: OK, Got: Value("")}},
		{Operation{Kind: CAS, Key: "ü", Value: "v2", Expect: "v1"}, Result{Outcome: OK, Swapped: true}},
		{Operation{Kind: CAS, Key: "ü", Value: "v3", Expect: "v1"}, Result{Outcome: OK}},
		{Operation{Kind: Delete, Key: "k"}, Result{Outcome: Failed, Error: "not leader"}},
		{Operation{Kind: Delete, Key: "k"}, Result{Outcome: Unknown, Error: "timeout"}},
	} {
		c.op.Client, c.op.Node = i%3, "n1"
		want = append(want, giveBack(t, r, invoke(t, r, c.op).ID, c.result))
	}
	open := invoke(t, r, Operation{Kind: Put, Key: "k", Value: "never returned", Client: 9})
	open.Outcome = Unknown
	want = append(want, open)
	if got := r.Counts(); got != (Counts{Operations: 10, OK: 7, Failed: 1, Unknown: 1}) {
		t.Errorf("counts %+v", got)
	}
	if err := errors.Join(r.Close(), r.Close(), r.Err()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Invoke(Operation{Kind: Get, Key: "k"}); !errors.Is(err, ErrClosed) {
		t.Errorf("a call after Close: %v", err)
	}
	h, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, h.Operations); diff != "" {
		t.Errorf("recorded (-) and read back (+):\n%s", diff)
	}
	if h.Torn != "" || h.Header.Seed != -3 || h.Header.Meta["a"] != "b" || time.Since(h.Header.Started) > time.Hour {
		t.Errorf("header %+v, torn %q", h.Header, h.Torn)
	}
	if err := wellFormed(h.Operations); err != nil {
		t.Error(err)
	}
}

// onWrite sees each line when it is written.
type onWrite func(line string) error

func (f onWrite) Write(p []byte) (int, error) {
	if err := f(string(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

func TestACallIsWrittenBeforeItIsSent(t *testing.T) {
	var lines []string
	r := newRecorder(t, onWrite(func(line string) error { lines = append(lines, line); return nil }))
	op := invoke(t, r, Operation{Kind: Put, Key: "k", Value: "v", Node: "n1"})
	if len(lines) != 2 || !strings.Contains(lines[1], `"invoke"`) || !strings.HasSuffix(lines[1], "}\n") {
		t.Fatalf("before the operation could be sent, this was written: %q", lines)
	}
	giveBack(t, r, op.ID, Result{Outcome: OK})
	if len(lines) != 3 || !strings.Contains(lines[2], `"return"`) {
		t.Fatalf("after the return: %q", lines)
	}
}

func TestAfterUnknownTheClientTakesANewProcess(t *testing.T) {
	r := newRecorder(t, io.Discard)
	call := func(client int, value string, o Outcome) Operation {
		op := invoke(t, r, Operation{Kind: Put, Key: "k", Value: value, Client: client})
		return giveBack(t, r, op.ID, Result{Outcome: o})
	}
	a, b := call(7, "a", OK), call(7, "b", Failed)
	c, d, other := call(7, "c", Unknown), call(7, "d", OK), call(8, "e", OK)
	if a.Process != b.Process || b.Process != c.Process {
		t.Errorf("the process changed after ok or failed: %d %d %d", a.Process, b.Process, c.Process)
	}
	if d.Process == c.Process || other.Process == d.Process || other.Process == a.Process {
		t.Errorf("processes %d, then %d after unknown, and %d of another client", c.Process, d.Process, other.Process)
	}
	if err := wellFormed([]Operation{a, b, c, d, other}); err != nil {
		t.Error(err)
	}
}

func TestAClientCallsOnceAtATime(t *testing.T) {
	r := newRecorder(t, io.Discard)
	op := invoke(t, r, Operation{Kind: Get, Key: "k", Client: 1})
	if _, err := r.Invoke(Operation{Kind: Get, Key: "k", Client: 1}); !errors.Is(err, ErrBusy) {
		t.Errorf("second call while one is open: %v", err)
	}
	giveBack(t, r, op.ID, Result{Outcome: OK})
	if _, err := r.Return(op.ID, Result{Outcome: OK}); err == nil {
		t.Error("a second return was recorded")
	}
	if _, err := r.Return(99, Result{Outcome: OK}); err == nil {
		t.Error("a return without a call was recorded")
	}
}

func TestWhatCannotBeJudgedIsNotRecorded(t *testing.T) {
	var out bytes.Buffer
	r := newRecorder(t, &out)
	before := out.Len()
	for _, op := range []Operation{
		{Kind: "read", Key: "k"},
		{Kind: Get},
		{Kind: Get, Key: "k", Value: "v"},
		{Kind: Put, Key: "k", Value: "v", Expect: "w"},
		{Kind: CAS, Key: "k", Value: "v", Expect: "v"},
		{Kind: Put, Key: "k", Value: "\xff"},
	} {
		if _, err := r.Invoke(op); err == nil {
			t.Errorf("recorded %+v", op)
		}
	}
	if out.Len() != before || r.Err() != nil {
		t.Errorf("written %q, err %v", out.String()[before:], r.Err())
	}
	put := invoke(t, r, Operation{Kind: Put, Key: "k", Value: "v"})
	for _, result := range []Result{
		{}, {Outcome: "maybe"}, {Outcome: OK, Swapped: true}, {Outcome: OK, Got: Value("x")},
	} {
		if _, err := r.Return(put.ID, result); err == nil {
			t.Errorf("recorded %+v for a put", result)
		}
	}
	giveBack(t, r, put.ID, Result{Outcome: OK}) // it stayed open
}

// A broken store may return bytes that are no text. JSON would replace them without a word.
func TestBytesThatAreNotTextAreQuoted(t *testing.T) {
	var out bytes.Buffer
	r := newRecorder(t, &out)
	op := invoke(t, r, Operation{Kind: Get, Key: "k"})
	giveBack(t, r, op.ID, Result{Outcome: OK, Got: Value("v\xff")})
	h, err := Read(&out)
	if err != nil || *h.Operations[0].Got != `"v\xff"` {
		t.Errorf("%v, %+v", err, h.Operations)
	}
}

func TestAFailedWriteIsNeverSwallowed(t *testing.T) {
	full := errors.New("disk full")
	for _, broken := range []struct {
		name string
		w    func(n int) io.Writer // fails at line n
		want error
	}{
		{"error", func(n int) io.Writer {
			return onWrite(func(string) error {
				if n--; n < 0 {
					return full
				}
				return nil
			})
		}, full},
		{"short", func(n int) io.Writer { return &shortWriter{n} }, io.ErrShortWrite},
	} {
		t.Run(broken.name, func(t *testing.T) {
			if _, err := NewRecorder(broken.w(0), Header{}); !errors.Is(err, broken.want) {
				t.Errorf("header: %v", err)
			}
			r := newRecorder(t, broken.w(1))
			if _, err := r.Invoke(Operation{Kind: Get, Key: "k"}); !errors.Is(err, broken.want) {
				t.Errorf("invoke: %v", err)
			}
			r = newRecorder(t, broken.w(2))
			op := invoke(t, r, Operation{Kind: Get, Key: "k"})
			if _, err := r.Return(op.ID, Result{Outcome: OK}); !errors.Is(err, broken.want) {
				t.Errorf("return: %v", err)
			}
			if _, err := r.Invoke(Operation{Kind: Get, Key: "k", Client: 2}); !errors.Is(err, broken.want) {
				t.Errorf("a call after the hole: %v", err)
			}
			if !errors.Is(r.Err(), broken.want) || !errors.Is(r.Close(), broken.want) {
				t.Errorf("Err %v", r.Err())
			}
		})
	}
}

type shortWriter struct{ whole int }

func (w *shortWriter) Write(p []byte) (int, error) {
	if w.whole--; w.whole < 0 {
		return len(p) / 2, nil
	}
	return len(p), nil
}

// Many clients against a real register behind a lock: the recorder's order must not invent a violation.
func TestManyClientsAreRecordedInOneOrder(t *testing.T) {
	var out bytes.Buffer
	r := newRecorder(t, &out)
	var mu sync.Mutex
	store := map[string]*string{}
	var clients sync.WaitGroup
	for c := range 10 {
		clients.Go(func() {
			random := rand.New(rand.NewPCG(uint64(c), 3))
			for i := range 200 {
				op := Operation{Client: c, Node: "n1", Kind: Get, Key: fmt.Sprintf("k%d", i/10%20)}
				if random.IntN(2) == 0 {
					op.Kind, op.Value = Put, fmt.Sprintf("c%d-%d", c, i)
				}
				op, err := r.Invoke(op)
				if err != nil {
					t.Error(err)
					return
				}
				result := Result{Outcome: OK}
				mu.Lock()
				if op.Kind == Put {
					store[op.Key] = &op.Value
				} else {
					result.Got = store[op.Key]
				}
				mu.Unlock()
				if _, err := r.Return(op.ID, result); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	clients.Wait()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	h, err := Read(&out)
	if err != nil {
		t.Fatal(err)
	}
	stamps := map[time.Duration]bool{}
	for i, op := range h.Operations {
		if op.ID != int64(i+1) || stamps[op.Call] || stamps[op.Return] || op.Return <= op.Call {
			t.Fatalf("operation %d is not in one order: %+v", i, op)
		}
		stamps[op.Call], stamps[op.Return] = true, true
	}
	if report := Check(t.Context(), h.Operations, Options{}); report.Verdict != Pass || len(h.Operations) != 2000 {
		t.Errorf("%d operations: %s: %s", len(h.Operations), report.Verdict, report.Message)
	}
}

// Whatever the moment of a crash, what is left can be read, and no operation that was sent is missing.
func TestAHistoryCutAnywhereIsRead(t *testing.T) {
	whole, err := os.ReadFile("testdata/honest-unknown.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	header := bytes.IndexByte(whole, '\n')
	for n := range len(whole) + 1 {
		h, err := Read(bytes.NewReader(whole[:n]))
		if n < header {
			if !errors.Is(err, ErrHistory) {
				t.Fatalf("cut after %d bytes, inside the header: %v", n, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("cut after %d bytes: %v", n, err)
		}
		atLine := whole[n-1] == '\n' || n == len(whole) || whole[n] == '\n'
		if (h.Torn == "") != atLine {
			t.Fatalf("cut after %d bytes: torn %q", n, h.Torn)
		}
		if calls := bytes.Count(whole[:n], []byte("call_ns")); len(h.Operations) < calls-1 {
			t.Fatalf("cut after %d bytes: %d operations of %d calls", n, len(h.Operations), calls)
		}
		if k := (checker{newRegister: newRegister}); len(h.Operations) > 0 {
			if got := k.check(t.Context(), h.Operations, Options{}).Verdict; got == Fail {
				t.Fatalf("cut after %d bytes: an honest history fails", n)
			}
		}
	}
}

// The contract types and the lines must not drift apart: every field of an operation is written and read.
func TestEveryFieldOfAnOperationIsRecorded(t *testing.T) {
	var lines []string
	for _, line := range []any{invokeLine{}, returnLine{}, Result{}} {
		for i := range reflect.TypeOf(line).NumField() {
			lines = append(lines, reflect.TypeOf(line).Field(i).Name)
		}
	}
	for _, of := range []reflect.Type{reflect.TypeOf(Operation{}), reflect.TypeOf(Result{})} {
		for i := range of.NumField() {
			if name := of.Field(i).Name; !strings.Contains(" "+strings.Join(lines, " ")+" ", " "+name+" ") {
				t.Errorf("field %s.%s is not in the file", of.Name(), name)
			}
		}
	}
}
