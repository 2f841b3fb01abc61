package linearizability

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// formatVersion changes when a field is added, removed or changes its meaning: the reader refuses fields that
// it does not know, because a misspelt one would quietly judge another history. Version 2 has version and no_effect in a
// return, version 3 once in an invoke and attempts in a return; what has none of them reads as before.
const (
	formatVersion       = 3
	formatVersionOldest = 1
)

// lineBytesMax bounds one line: a value may have 1 MiB, and JSON may write six bytes for one.
const lineBytesMax = 16 << 20

// ErrHistory is wrapped by every error that Read returns about the content of a file.
var ErrHistory = errors.New("linearizability: history cannot be read")

// The three kinds of lines. Operation and Result name the fields; one line holds either a call or a return,
// so that a call is on disk before it is sent.
type (
	headerLine struct {
		Type    string `json:"type"` // "history"
		Version int    `json:"version"`
		Header
	}
	invokeLine struct {
		Type    string        `json:"type"` // "invoke"
		ID      int64         `json:"id"`
		Process int           `json:"process"`
		Client  int           `json:"client"`
		Node    string        `json:"node"`
		Phase   string        `json:"phase,omitempty"`
		Kind    Kind          `json:"kind"`
		Key     string        `json:"key"`
		Value   string        `json:"value,omitempty"`
		Expect  string        `json:"expect,omitempty"`
		Once    string        `json:"once,omitempty"`
		Call    time.Duration `json:"call_ns"`
	}
	returnLine struct {
		Type    string        `json:"type"` // "return"
		ID      int64         `json:"id"`
		Process int           `json:"process"`
		Return  time.Duration `json:"return_ns"`
		Result
	}
)

// ReadFile reads a history that a Recorder wrote.
func ReadFile(path string) (History, error) {
	f, err := os.Open(path)
	if err != nil {
		return History{}, fmt.Errorf("linearizability: open history: %w", err)
	}
	defer f.Close()
	h, err := Read(f)
	if err != nil {
		return History{}, fmt.Errorf("%s: %w", path, err)
	}
	return h, nil
}

// Read reads a history back, also one whose writer was killed: a call without a return is Unknown, and a last
// line without its end is dropped and reported in History.Torn. Anything else that a Recorder cannot have
// written is an error that names the line.
func Read(r io.Reader) (History, error) {
	p := reader{byID: map[int64]int{}}
	br := bufio.NewReaderSize(r, 64<<10)
	for {
		line, whole, err := readLine(br)
		if err != nil {
			return History{}, fmt.Errorf("%w: line %d: %w", ErrHistory, p.line+1, err)
		}
		if line == nil {
			break
		}
		p.line++
		err = p.take(line)
		if err != nil && !whole && !json.Valid(line) && p.line > 1 {
			// Only the last line can lack its newline. A cut record never parses: it lacks its brace.
			p.history.Torn = fmt.Sprintf("line %d is cut off after %d bytes and was dropped", p.line, len(line))
			break
		}
		if err != nil {
			return History{}, fmt.Errorf("%w: line %d: %w", ErrHistory, p.line, err)
		}
	}
	if p.line == 0 {
		return History{}, fmt.Errorf("%w: it is empty, without even a header", ErrHistory)
	}
	for i := range p.history.Operations {
		if op := &p.history.Operations[i]; op.Outcome == "" {
			op.Outcome = Unknown
		}
	}
	return p.history, nil
}

// readLine returns the next line without its newline, whether it had one, and nil at the end.
func readLine(br *bufio.Reader) (line []byte, whole bool, err error) {
	for {
		part, err := br.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > lineBytesMax:
			return nil, false, fmt.Errorf("longer than %d bytes", lineBytesMax)
		case err == nil:
			return line[:len(line)-1], true, nil
		case errors.Is(err, io.EOF):
			return line, false, nil // nil when nothing was left
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, false, err
		}
	}
}

// reader holds what one line must agree with.
type reader struct {
	history History
	line    int
	byID    map[int64]int // index into history.Operations
	last    time.Duration // stamp of the line before
}

func (p *reader) take(line []byte) error {
	var kind struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(line, &kind); err != nil {
		return fmt.Errorf("not a JSON record: %w", err)
	}
	if (p.line == 1) != (kind.Type == "history") {
		return fmt.Errorf(`type %q: the first line must be of type "history", and no other`, kind.Type)
	}
	switch kind.Type {
	case "history":
		return p.takeHeader(line)
	case "invoke":
		return p.takeInvoke(line)
	case "return":
		return p.takeReturn(line)
	default:
		return fmt.Errorf(`type %q is none of "history", "invoke" and "return"`, kind.Type)
	}
}

func (p *reader) takeHeader(line []byte) error {
	// The version comes first: a later one may have fields that we do not know.
	var v struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(line, &v); err != nil {
		return fmt.Errorf("header: %w", err)
	}
	if v.Version < formatVersionOldest || v.Version > formatVersion {
		return fmt.Errorf("version %d of the format; this program reads versions %d to %d", v.Version, formatVersionOldest, formatVersion)
	}
	var h headerLine
	if err := decode(line, &h); err != nil {
		return err
	}
	p.history.Header = h.Header
	return nil
}

func (p *reader) takeInvoke(line []byte) error {
	var l invokeLine
	if err := decode(line, &l); err != nil {
		return err
	}
	op := Operation{
		ID: l.ID, Process: l.Process, Client: l.Client, Node: l.Node, Phase: l.Phase,
		Kind: l.Kind, Key: l.Key, Value: l.Value, Expect: l.Expect, Once: l.Once, Call: l.Call,
	}
	if err := op.validCall(); err != nil {
		return err
	}
	if at, ok := p.byID[l.ID]; ok {
		return fmt.Errorf("operation %d is called a second time (first at %v)", l.ID, p.history.Operations[at].Call)
	}
	if err := p.advance(l.Call); err != nil {
		return err
	}
	p.byID[l.ID] = len(p.history.Operations)
	p.history.Operations = append(p.history.Operations, op)
	return nil
}

func (p *reader) takeReturn(line []byte) error {
	var l returnLine
	if err := decode(line, &l); err != nil {
		return err
	}
	i, ok := p.byID[l.ID]
	if !ok {
		return fmt.Errorf("operation %d returns but was never called", l.ID)
	}
	op := &p.history.Operations[i]
	if op.Outcome != "" {
		return fmt.Errorf("operation %d returns a second time", l.ID)
	}
	if op.Process != l.Process {
		return fmt.Errorf("operation %d was called by process %d and returns to process %d", l.ID, op.Process, l.Process)
	}
	if err := l.Result.valid(op.Kind); err != nil {
		return fmt.Errorf("operation %d: %w", l.ID, err)
	}
	if err := p.advance(l.Return); err != nil {
		return err
	}
	op.Return, op.Result = l.Return, l.Result
	return nil
}

// advance holds the one total order: lines are written in the order of their stamps.
func (p *reader) advance(at time.Duration) error {
	if at <= 0 {
		return fmt.Errorf("time %d ns is not after the start", at)
	}
	if at < p.last {
		return fmt.Errorf("time goes backwards, from %d to %d ns", p.last, at)
	}
	p.last = at
	return nil
}

func decode(line []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("not a record of this format: %w", err)
	}
	return nil // that nothing follows the value was seen by json.Unmarshal in take
}
