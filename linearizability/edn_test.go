package linearizability

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// ednReader reads the part of EDN that a history needs: maps, vectors, strings, integers, keywords and nil. It knows
// nothing of the writer.
type ednReader struct {
	text string
	at   int
}

type keyword string

func (r *ednReader) skip() {
	for r.at < len(r.text) && strings.ContainsRune(" ,\n\t", rune(r.text[r.at])) {
		r.at++
	}
}

func (r *ednReader) next() (any, error) {
	r.skip()
	if r.at >= len(r.text) {
		return nil, fmt.Errorf("nothing at %d", r.at)
	}
	switch c := r.text[r.at]; c {
	case '{', '[':
		r.at++
		var items []any
		for end := map[byte]byte{'{': '}', '[': ']'}[c]; ; {
			if r.skip(); r.at < len(r.text) && r.text[r.at] == end {
				r.at++
				break
			}
			item, err := r.next()
			if err != nil {
				return nil, err
			}
			items = append(items, item)
		}
		if c == '[' {
			return items, nil
		}
		if len(items)%2 != 0 {
			return nil, fmt.Errorf("a map of %d forms at %d", len(items), r.at)
		}
		m := map[keyword]any{}
		for i := 0; i < len(items); i += 2 {
			m[items[i].(keyword)] = items[i+1]
		}
		return m, nil
	case '"':
		return r.quoted()
	}
	start := r.at
	for r.at < len(r.text) && !strings.ContainsRune(" ,\n\t{}[]\"", rune(r.text[r.at])) {
		r.at++
	}
	switch word := r.text[start:r.at]; {
	case word == "nil":
		return nil, nil
	case strings.HasPrefix(word, ":"):
		return keyword(word[1:]), nil
	default:
		return strconv.ParseInt(word, 10, 64)
	}
}

func (r *ednReader) quoted() (any, error) {
	var b strings.Builder
	for r.at++; r.at < len(r.text); r.at++ {
		c := r.text[r.at]
		switch {
		case c == '"':
			r.at++
			return b.String(), nil
		case c != '\\':
			b.WriteByte(c)
			continue
		}
		r.at++
		switch e := r.text[r.at]; e {
		case 'n', 'r', 't':
			b.WriteByte(map[byte]byte{'n': '\n', 'r': '\r', 't': '\t'}[e])
		case '"', '\\':
			b.WriteByte(e)
		case 'u':
			n, err := strconv.ParseUint(r.text[r.at+1:r.at+5], 16, 16)
			if err != nil {
				return nil, err
			}
			b.WriteRune(rune(n))
			r.at += 4
		default:
			return nil, fmt.Errorf("escape %q", e)
		}
	}
	return nil, fmt.Errorf("a string without an end")
}

// readEDN makes operations again of what Jepsen would read: calls and completions are matched by their process.
func readEDN(t *testing.T, text string) (ops []Operation, nemesis int) {
	t.Helper()
	open := map[int64]int{}
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		form, err := (&ednReader{text: line}).next()
		if err != nil {
			t.Fatalf("line %d: %v: %s", i+1, err, line)
		}
		m := form.(map[keyword]any)
		if m["index"] != int64(i) {
			t.Fatalf("index %v on line %d", m["index"], i+1)
		}
		if m["process"] == keyword("nemesis") {
			nemesis++
			continue
		}
		process := m["process"].(int64)
		tuple := m["value"].([]any)
		at := time.Duration(m["time"].(int64))
		if m["type"] == keyword("invoke") {
			op := Operation{ID: int64(len(ops) + 1), Process: int(process), Key: tuple[0].(string), Call: at, Node: m["node"].(string)}
			switch m["f"] {
			case keyword("read"):
				op.Kind = Get
			case keyword("cas"):
				op.Kind = CAS
				pair := tuple[1].([]any)
				op.Expect, op.Value = pair[0].(string), pair[1].(string)
			case keyword("write"):
				if tuple[1] == nil {
					op.Kind = Delete
					break
				}
				op.Kind, op.Value = Put, tuple[1].(string)
			}
			if _, busy := open[process]; busy {
				t.Fatalf("line %d: process %d calls twice", i+1, process)
			}
			open[process] = len(ops)
			ops = append(ops, op)
			continue
		}
		op := &ops[open[process]]
		delete(open, process)
		op.Return = at
		switch {
		case m["type"] == keyword("ok"):
			op.Outcome = OK
			op.Swapped = op.Kind == CAS
			if got, ok := tuple[1].(string); op.Kind == Get && ok {
				op.Got = &got
			}
		case m["type"] == keyword("fail") && m["error"] == keyword("refused"):
			op.Outcome = OK
		case m["type"] == keyword("fail"):
			op.Outcome = Failed
		default:
			op.Outcome = Unknown
			open[process] = -1 // it never calls again
		}
	}
	return ops, nemesis
}

func TestAHistoryAsEDNIsTheSameHistory(t *testing.T) {
	files, err := filepath.Glob("testdata/*.jsonl")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	histories := map[string][]Operation{}
	for _, file := range files {
		if h, err := ReadFile(file); err == nil {
			histories[file] = h.Operations
		}
	}
	random := rand.New(rand.NewPCG(2, 2))
	for i := range 20 {
		histories[fmt.Sprintf("seed %d", i)] = legal(random.IntN, shape{operations: 60, spread: 4, unknowns: 10, failures: 10, cas: 25, deletes: 15})
	}
	odd := "q\"\\ \n\tü\x01,;{}[]:nil"
	histories["odd values"] = []Operation{
		{ID: 1, Process: 0, Node: "n1", Key: odd, Kind: Put, Value: odd, Call: 1, Return: 2, Result: Result{Outcome: OK}},
		{ID: 2, Process: 0, Node: "n1", Key: odd, Kind: Get, Call: 3, Return: 4, Result: Result{Outcome: OK, Got: Value(odd)}},
		{ID: 3, Process: 0, Node: "n1", Key: odd, Kind: Put, Value: "w", Call: 5, Result: Result{Outcome: Unknown}},
	}
	for name, ops := range histories {
		var b bytes.Buffer
		if err := WriteEDN(&b, ops, "", []Window{{Name: "#1 crash leader", From: 1, To: 5}}); err != nil {
			t.Fatal(err)
		}
		again, nemesis := readEDN(t, b.String())
		if len(again) != len(ops) || nemesis != 2 {
			t.Fatalf("%s: %d operations of %d, %d of the nemesis", name, len(again), len(ops), nemesis)
		}
		for i, op := range ops {
			got := again[i]
			same := got.Kind == op.Kind && got.Key == op.Key && got.Value == op.Value && got.Expect == op.Expect && got.Swapped == op.Swapped &&
				got.Call == op.Call && got.Return == op.Return && got.Process == op.Process && isUnknown(got) == isUnknown(op) && (got.Outcome == Failed) == (op.Outcome == Failed) &&
				(got.Got == nil) == (op.Got == nil) && (got.Got == nil || *got.Got == *op.Got)
			if !same {
				t.Fatalf("%s: operation %d: %+v, want %+v", name, op.ID, got, op)
			}
		}
		before, after := Check(context.Background(), ops, Options{}), Check(context.Background(), again, Options{})
		if before.Verdict != after.Verdict {
			t.Errorf("%s: %s, and as EDN %s: %s", name, before.Verdict, after.Verdict, after.Message)
		}
	}
}

func TestEDNOfOneKeyHasNoTuples(t *testing.T) {
	ops := []Operation{
		{ID: 1, Process: 0, Key: "a", Kind: CAS, Expect: "x", Value: "y", Call: 1e6, Return: 2e6, Result: Result{Outcome: OK}},
		{ID: 2, Process: 1, Key: "b", Kind: Get, Call: 3e6, Return: 4e6, Result: Result{Outcome: OK}},
		{ID: 3, Process: 0, Key: "a", Kind: Delete, Call: 5e6, Return: 6e6, Result: Result{Outcome: Unknown, Error: "no answer"}},
	}
	var b bytes.Buffer
	if err := WriteEDN(&b, ops, "a", nil); err != nil {
		t.Fatal(err)
	}
	want := `{:index 0, :time 1000000, :process 0, :type :invoke, :f :cas, :value ["x" "y"]}
{:index 1, :time 2000000, :process 0, :type :fail, :f :cas, :value ["x" "y"], :error :refused}
{:index 2, :time 5000000, :process 0, :type :invoke, :f :write, :value nil}
{:index 3, :time 6000000, :process 0, :type :info, :f :write, :value nil, :error "no answer"}
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}
