package linearizability

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"
)

var (
	// ErrBusy is returned when a client calls while its call before has not returned: a bug of the load.
	ErrBusy = errors.New("linearizability: client already has a call open")
	// ErrClosed is returned by calls on a Recorder that was closed.
	ErrClosed = errors.New("linearizability: recorder is closed")
)

// Recorder writes a history while it happens. Invoke has written the call to the file when it returns, so an
// operation that was sent can never be missing from the history. It is safe for concurrent use.
//
// One lock covers the reading of the clock and the write, so the lines, the ids and the stamps have one total
// order (porcupine #40: two clock readings that the CPU reorders look like a violation). Stamps are strictly
// increasing. Nothing is buffered: what Invoke and Return wrote survives a crash of the lab, though not of
// the machine.
type Recorder struct {
	mu      sync.Mutex
	w       io.Writer
	close   func() error
	now     func() time.Duration // since the start, monotonic
	last    time.Duration
	err     error // the first failed write: from then on the file has a hole and nothing more is recorded
	ids     int64
	procs   int
	clients map[int]*caller
	open    map[int64]Operation
	counts  Counts
}

// caller is one client and the process under which it calls now.
type caller struct {
	process int
	open    int64 // id of its open call, or 0
	retired bool  // the process got Unknown: the next call needs a new one
}

// NewRecorder writes the header to w and records into it. Started is filled in if it is zero.
func NewRecorder(w io.Writer, header Header) (*Recorder, error) {
	start := time.Now()
	if header.Started.IsZero() {
		header.Started = start.UTC()
	}
	r := &Recorder{
		w:       w,
		now:     func() time.Duration { return time.Since(start) },
		clients: map[int]*caller{},
		open:    map[int64]Operation{},
	}
	if err := r.write(headerLine{Type: "history", Version: formatVersion, Header: header}); err != nil {
		return nil, err
	}
	return r, nil
}

// Create records into a new file, and refuses to overwrite one.
func Create(path string, header Header) (*Recorder, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("linearizability: create history: %w", err)
	}
	r, err := NewRecorder(f, header)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r.close = func() error { return errors.Join(f.Sync(), f.Close()) }
	return r, nil
}

// Now is the time of the history: use it to stamp what else happens in the run, such as faults.
func (r *Recorder) Now() time.Duration { return r.now() }

// Invoke records a call and returns it with its ID, Process and Call filled in. Only then may it be sent: on
// an error it must not be. Of op it takes Client, Node, Phase, Kind, Key, Value and Expect.
func (r *Recorder) Invoke(op Operation) (Operation, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return Operation{}, r.err
	}
	op.ID, op.Return, op.Result = r.ids+1, 0, Result{}
	if err := op.validCall(); err != nil {
		return Operation{}, fmt.Errorf("linearizability: invoke: %w", err)
	}
	c := r.clients[op.Client]
	switch {
	case c == nil:
		c = &caller{process: r.procs}
		r.procs++
		r.clients[op.Client] = c
	case c.open != 0:
		return Operation{}, fmt.Errorf("%w: client %d, operation %d", ErrBusy, op.Client, c.open)
	case c.retired:
		// What it called may still happen, so the process stays in that call for ever.
		c.process, c.retired = r.procs, false
		r.procs++
	}
	op.Process = c.process
	op.Call = r.stamp()
	if err := r.write(invokeLine{
		Type: "invoke", ID: op.ID, Process: op.Process, Client: op.Client, Node: op.Node, Phase: op.Phase,
		Kind: op.Kind, Key: op.Key, Value: op.Value, Expect: op.Expect, Once: op.Once, Call: op.Call,
	}); err != nil {
		return Operation{}, err
	}
	r.ids++
	c.open = op.ID
	r.open[op.ID] = op
	r.counts.Operations++
	return op, nil
}

// Return records the result of an open call and returns the whole operation.
func (r *Recorder) Return(id int64, result Result) (Operation, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return Operation{}, r.err
	}
	op, ok := r.open[id]
	if !ok {
		return Operation{}, fmt.Errorf("linearizability: return: operation %d is not open", id)
	}
	if err := result.valid(op.Kind); err != nil {
		return Operation{}, fmt.Errorf("linearizability: return: operation %d: %w", id, err)
	}
	op.Result = printable(result)
	op.Return = r.stamp()
	if err := r.write(returnLine{
		Type: "return", ID: id, Process: op.Process, Return: op.Return, Result: op.Result,
	}); err != nil {
		return Operation{}, err
	}
	c := r.clients[op.Client]
	c.open, c.retired = 0, op.Outcome == Unknown
	delete(r.open, id)
	r.counts.add(op.Outcome)
	return op, nil
}

// Counts says how much was recorded so far. Open calls are counted in Operations only.
func (r *Recorder) Counts() Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts
}

// Err returns the first error of a write. A history with an error has a hole: no verdict can come from it.
func (r *Recorder) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if errors.Is(r.err, ErrClosed) {
		return nil
	}
	return r.err
}

// Close ends the recording and returns the first error that there was, also of a write long ago. Calls that
// are still open stay without a return and will be read as Unknown.
func (r *Recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if errors.Is(r.err, ErrClosed) {
		return nil
	}
	err := r.err
	if r.close != nil {
		if e := r.close(); e != nil {
			err = errors.Join(err, fmt.Errorf("linearizability: close history: %w", e))
		}
	}
	if err == nil {
		r.err = ErrClosed
	} else {
		r.err = err
	}
	r.close = nil
	return err
}

// stamp reads the clock; r.mu is held. Two readings of a coarse clock may be equal, two stamps never are.
func (r *Recorder) stamp() time.Duration {
	r.last = max(r.now(), r.last+1)
	return r.last
}

// write writes one line in one call, so that a crash tears at most the last line. r.mu is held.
func (r *Recorder) write(line any) error {
	b, err := json.Marshal(line)
	if err == nil {
		b = append(b, '\n')
		var n int
		if n, err = r.w.Write(b); err == nil && n < len(b) {
			err = io.ErrShortWrite
		}
	}
	if err != nil {
		r.err = fmt.Errorf("linearizability: write history: %w", err)
	}
	return r.err
}

// printable quotes what JSON would change without a word: bytes that are not UTF-8. Nothing is lost by it,
// for a value that a client wrote is always UTF-8 and so it can equal no quoted one by accident.
func printable(r Result) Result {
	quote := func(s string) string {
		if utf8.ValidString(s) {
			return s
		}
		return strconv.QuoteToASCII(s)
	}
	if r.Got != nil {
		s := quote(*r.Got)
		r.Got = &s
	}
	r.ServedBy, r.Error = quote(r.ServedBy), quote(r.Error)
	return r
}
