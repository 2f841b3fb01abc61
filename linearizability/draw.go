package linearizability

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"html"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// drawnMax is how many operations of one key a browser still shows well: a page of 20,000 has 4 MB.
const drawnMax = 2000

// ErrNotDrawn is wrapped by the errors of Draw that are about the history, not about the file.
var ErrNotDrawn = errors.New("linearizability: not drawn")

// Window is a stretch of time to show above the operations, such as a fault. To may be zero for a moment.
type Window struct {
	Name   string
	Detail string
	From   time.Duration
	To     time.Duration
}

// Draw writes porcupine's page of one key: each process a row, the longest orders that were found, the first
// operation that fits none of them, and the windows above. It is meant for keys that failed.
func Draw(ctx context.Context, w io.Writer, ops []Operation, key string, windows []Window, options Options) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: key %q: porcupine panicked: %v", ErrNotDrawn, key, p)
		}
	}()
	if err := options.Validate(); err != nil {
		return err
	}
	if err := wellFormed(ops); err != nil {
		return fmt.Errorf("%w: the history is ill-formed: %w", ErrNotDrawn, err)
	}
	options = options.withDefaults()
	ctx, cancel := context.WithTimeoutCause(ctx, options.KeyTimeout,
		fmt.Errorf("time limit of %v reached", options.KeyTimeout))
	defer cancel()

	var mine []Operation
	for _, list := range byKey(ops) {
		if list[0].Key == key {
			mine = list
		}
	}
	h := newKeyHistory(key, mine)
	switch {
	case len(h.search) == 0:
		return fmt.Errorf("%w: key %q has no operations to order", ErrNotDrawn, key)
	case len(h.search) > drawnMax:
		return fmt.Errorf("%w: key %q has %d operations, more than the %d that a browser shows well", ErrNotDrawn, key, len(h.search), drawnMax)
	}
	s := search{register: newRegister(h.absent), entriesMax: entryBudget(options.shareBytes(), len(h.search))}
	_, info, err := s.run(ctx, h, h.search, true)
	if err != nil {
		return fmt.Errorf("%w: key %q: %w", ErrNotDrawn, key, err)
	}
	info.AddAnnotations(annotations(h, windows))
	// A model of its own: the limits of the search must not refuse a step now (etcd #21863).
	replay := search{register: newRegister(h.absent), entriesMax: int64(^uint64(0) >> 1)}
	model := replay.model(h)
	model.DescribeOperation = func(input, _ any) string { return describeStep(input.(*step)) }
	// These two porcupine's page takes for HTML, and they hold what a store under test has said.
	model.DescribeState = func(state any) string { return html.EscapeString(state.(*content).String()) }
	model.DescribeOperationMetadata = func(m any) string { return html.EscapeString(describe(m.(*Operation))) }
	return porcupine.Visualize(model, info, w)
}

// DrawFile draws into dir/linear-<key>.html and returns the path. On an error it leaves no file.
func DrawFile(ctx context.Context, dir string, ops []Operation, key string, windows []Window, options Options) (string, error) {
	path := filepath.Join(dir, DrawingName(key))
	f, err := os.Create(path)
	if err != nil {
		return "", fmt.Errorf("linearizability: create drawing: %w", err)
	}
	err = errors.Join(Draw(ctx, f, ops, key, windows, options), f.Close())
	if err != nil {
		return "", errors.Join(err, os.Remove(path))
	}
	return path, nil
}

// DrawingName is the name of a key's drawing: safe for files and links, and different for different keys.
func DrawingName(key string) string {
	const most = 80
	var b strings.Builder
	for i := range len(key) {
		switch c := key[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
			b.WriteByte(c)
		default: // capitals too: some file systems do not tell them apart
			fmt.Fprintf(&b, "~%02x", c)
		}
	}
	name := b.String()
	if len(name) > most {
		sum := fnv.New64a()
		sum.Write([]byte(key))
		name = fmt.Sprintf("%s~~%016x", name[:most], sum.Sum64())
	}
	return "linear-" + name + ".html"
}

// annotations are the windows, and what took no part in the search but helps to read it.
func annotations(h *keyHistory, windows []Window) []porcupine.Annotation {
	var list []porcupine.Annotation
	for _, w := range windows {
		list = append(list, porcupine.Annotation{
			Tag: "faults", Start: int64(w.From), End: int64(max(w.From, w.To)),
			Description: w.Name, Details: w.Detail, BackgroundColor: "#f4c7c3",
		})
	}
	end := infinity(h.all)
	for i := range h.all {
		op := &h.all[i]
		unknownRead := isUnknown(*op) && op.Kind == Get
		if op.Outcome != Failed && !unknownRead {
			continue
		}
		to := op.Return
		if to == 0 {
			to = end
		}
		text := name(op) + " failed"
		if unknownRead {
			text = name(op) + " without an answer"
		}
		list = append(list, porcupine.Annotation{
			ClientId: op.Process, Start: int64(op.Call), End: int64(to),
			Description: text, Details: describe(op), BackgroundColor: "#e0e0e0",
		})
	}
	return list
}

// describe is what a tooltip adds to an operation.
func describe(op *Operation) string {
	text := fmt.Sprintf("client %d at %s", op.Client, op.Node)
	for _, part := range []struct{ name, value string }{
		{"phase", op.Phase}, {"served by", op.ServedBy}, {"error", op.Error},
	} {
		if part.value != "" {
			text += ", " + part.name + " " + part.value
		}
	}
	if op.Index != 0 {
		text += fmt.Sprintf(", index %d term %d", op.Index, op.Term)
	}
	return text
}
