package sim

import (
	"bufio"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Plan is all that decides a run: the same plan is the same run. Its text form is one line a value, and is what a
// shrunk failure is kept as.
type Plan struct {
	Seed    uint64        // of the streams of chance: latencies, losses, what survives a crash, what clients do
	Members int           // voters at the start
	Clients int           // that read and write
	Keys    int           // in use at a time
	Ops     int           // that clients call before the faults end
	Value   int           // bytes of a value
	Until   time.Duration // the faults end

	Tick          time.Duration
	Heartbeat     int // ticks
	Election      int // ticks
	Tail          int // entries kept before a snapshot
	AppendBytes   int
	Inflight      int // appends
	InflightBytes int
	Uncommitted   int // bytes
	Snapshot      int // entries; zero: none are taken by themselves
	Segment       int // bytes of a file of the log
	Chunk         int // bytes

	LatencyMin, LatencyMax time.Duration
	Loop                   time.Duration // what arrives within it is taken together
	Ordered                bool          // each link keeps the order of its messages, as a stream does
	Loss                   float64       // of messages
	Duplicate              float64
	Late                   float64 // share of messages that take up to LateMax longer
	LateMax                time.Duration
	Stream                 time.Duration // that a snapshot may be on its way, at most
	SyncMin, SyncMax       time.Duration // of one fsync
	Think                  time.Duration // of a client between two calls
	Burst                  time.Duration // clients begin their calls at its multiples, all at once; zero: each when it likes
	Patience               time.Duration // of a client with a call
	Sessions               float64       // share of writes that carry an idempotency key, and are tried again
	Remembered             int           // idempotency keys; zero: as many as raftd remembers, which no run reaches
	Since                  float64       // share of writes with an idempotency key that say since when they have been tried, as those of package client do
	Near                   bool          // clients are beside the members: nothing that they say or hear takes time
	Uneven                 int           // entries of tail that every other member keeps more

	Faults []Fault
}

// Fault is one thing that goes wrong at one moment, for a while.
type Fault struct {
	At   time.Duration
	Kind FaultKind
	Who  int           // a slot from 1; zero: whoever leads then
	For  time.Duration // until it is healed, or the member is started again
	N    uint64        // what else the kind needs: a set of slots, a number of calls, a rate
}

func (f Fault) String() string {
	who := "leader"
	if f.Who > 0 {
		who = fmt.Sprintf("slot%d", f.Who)
	}
	return fmt.Sprintf("%v %v %s for %v n %d", f.At, f.Kind, who, f.For, f.N)
}

// field is one value of a Plan, by name.
type field struct {
	name  string
	value any // a pointer
}

func (p *Plan) fields() []field {
	return []field{
		{"seed", &p.Seed}, {"members", &p.Members}, {"clients", &p.Clients}, {"keys", &p.Keys}, {"ops", &p.Ops},
		{"value", &p.Value}, {"until", &p.Until}, {"tick", &p.Tick}, {"heartbeat", &p.Heartbeat}, {"election", &p.Election},
		{"tail", &p.Tail}, {"append-bytes", &p.AppendBytes}, {"inflight", &p.Inflight}, {"inflight-bytes", &p.InflightBytes},
		{"uncommitted", &p.Uncommitted}, {"snapshot", &p.Snapshot}, {"segment", &p.Segment}, {"chunk", &p.Chunk},
		{"latency-min", &p.LatencyMin}, {"latency-max", &p.LatencyMax}, {"loop", &p.Loop}, {"ordered", &p.Ordered},
		{"loss", &p.Loss}, {"duplicate", &p.Duplicate}, {"late", &p.Late}, {"late-max", &p.LateMax}, {"stream", &p.Stream},
		{"sync-min", &p.SyncMin}, {"sync-max", &p.SyncMax}, {"think", &p.Think}, {"patience", &p.Patience}, {"sessions", &p.Sessions},
		{"remembered", &p.Remembered}, {"since", &p.Since}, {"near", &p.Near}, {"uneven", &p.Uneven}, {"burst", &p.Burst},
	}
}

// String is the text that ParsePlan reads.
func (p *Plan) String() string {
	var b strings.Builder
	for _, f := range p.fields() {
		switch v := f.value.(type) {
		case *uint64:
			fmt.Fprintf(&b, "%s %d\n", f.name, *v)
		case *int:
			fmt.Fprintf(&b, "%s %d\n", f.name, *v)
		case *bool:
			fmt.Fprintf(&b, "%s %v\n", f.name, *v)
		case *float64:
			fmt.Fprintf(&b, "%s %v\n", f.name, *v)
		case *time.Duration:
			fmt.Fprintf(&b, "%s %v\n", f.name, *v)
		}
	}
	for _, f := range p.Faults {
		fmt.Fprintf(&b, "fault %v\n", f)
	}
	return b.String()
}

// ParsePlan reads a plan: lines of a name and a value, and of faults. # begins a comment. A name that is left out is
// zero; Validate says whether that can be.
func ParsePlan(text string) (Plan, error) {
	var p Plan
	fields, given := p.fields(), map[string]bool{}
	lines := bufio.NewScanner(strings.NewReader(text))
	for number := 1; lines.Scan(); number++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == "" {
			continue
		}
		var err error
		if given[name] && name != "fault" {
			err = fmt.Errorf("%s is given twice", name)
		} else if given[name] = true; name == "fault" {
			var f Fault
			f, err = parseFault(value)
			p.Faults = append(p.Faults, f)
		} else if i := slices.IndexFunc(fields, func(f field) bool { return f.name == name }); i >= 0 {
			if err = set(fields[i].value, strings.TrimSpace(value)); err != nil {
				why := err
				if inner := errors.Unwrap(err); inner != nil { // without the name of a function
					why = inner
				}
				err = fmt.Errorf("%s %q cannot be read: %w", name, strings.TrimSpace(value), why)
			}
		} else {
			err = fmt.Errorf("unknown name %q", name)
		}
		if err != nil {
			return p, fmt.Errorf("sim: plan, line %d: %w", number, err)
		}
	}
	if err := lines.Err(); err != nil {
		return p, fmt.Errorf("sim: plan: %w", err)
	}
	if len(given) == 0 {
		return p, errors.New("sim: plan: there is nothing in it")
	}
	return p, p.Validate()
}

func set(to any, text string) (err error) {
	switch v := to.(type) {
	case *uint64:
		*v, err = strconv.ParseUint(text, 10, 64)
	case *int:
		*v, err = strconv.Atoi(text)
	case *bool:
		*v, err = strconv.ParseBool(text)
	case *float64:
		*v, err = strconv.ParseFloat(text, 64)
	case *time.Duration:
		*v, err = time.ParseDuration(text)
	}
	return err
}

func parseFault(text string) (f Fault, err error) {
	words := strings.Fields(text)
	if len(words) != 7 || words[3] != "for" || words[5] != "n" {
		return f, fmt.Errorf("fault %q: want TIME KIND WHO for TIME n NUMBER", text)
	}
	if f.At, err = time.ParseDuration(words[0]); err != nil {
		return f, err
	}
	if f.Kind, err = parseKind(words[1]); err != nil {
		return f, err
	}
	if words[2] != "leader" {
		if f.Who, err = strconv.Atoi(strings.TrimPrefix(words[2], "slot")); err != nil || f.Who < 1 {
			return f, fmt.Errorf("fault %q: %q is neither leader nor a slot", text, words[2])
		}
	}
	if f.For, err = time.ParseDuration(words[4]); err != nil {
		return f, err
	}
	f.N, err = strconv.ParseUint(words[6], 10, 64)
	return f, err
}

// A plan beyond these is a slip of the pen, not a run that ends.
const (
	numberMax = 1 << 20
	untilMax  = time.Hour
)

// slotsMax bounds the members that a run may have in all.
const slotsMax = 16

// Validate names the first value that cannot be used, with its rule.
func (p *Plan) Validate() error {
	bad := func(format string, args ...any) error { return fmt.Errorf("sim: plan: "+format, args...) }
	switch {
	case p.Members < 1 || p.Members > 9:
		return bad("members %d must be 1 to 9", p.Members)
	case p.Clients < 1 || p.Clients > 64:
		return bad("clients %d must be 1 to 64", p.Clients)
	case p.Keys < 1, p.Ops < 1, p.Value < 16, p.Keys > numberMax, p.Ops > numberMax, p.Value > numberMax:
		return bad("keys %d and ops %d must be at least 1, value %d at least 16, and none above %d", p.Keys, p.Ops, p.Value, numberMax)
	case p.Tick <= 0, p.Heartbeat < 1, p.Election <= p.Heartbeat:
		return bad("tick %v must be positive, heartbeat %d at least 1 and below election %d", p.Tick, p.Heartbeat, p.Election)
	case p.LatencyMax < p.LatencyMin, p.SyncMax < p.SyncMin, p.LatencyMin < 0, p.SyncMin < 0, p.Loop < 0:
		return bad("latencies and syncs must not be negative, and min at most max")
	case p.Patience <= 0, p.Until <= 0, p.Think < 0, p.Burst < 0, p.Stream < 0, p.LateMax < 0:
		return bad("patience %v and until %v must be positive; think, burst, stream and late-max not negative", p.Patience, p.Until)
	case p.Until > untilMax:
		return bad("until %v must be at most %v", p.Until, untilMax)
	case p.Segment < 0, p.Chunk < 0, p.Snapshot < 0, p.Tail < 0, p.Remembered < 0, p.Uneven < 0:
		return bad("segment, chunk, snapshot, tail, remembered and uneven must not be negative")
	}
	for _, f := range p.fields() {
		if share, ok := f.value.(*float64); ok && !(*share >= 0 && *share <= 1) { // nor NaN
			return bad("%s %v must be a share, 0 to 1", f.name, *share)
		}
	}
	for _, f := range p.Faults {
		if f.At < 0 || f.For < 0 {
			return bad("fault %v: no time of it may be negative", f)
		}
		if f.Who > slotsMax {
			return bad("fault %v: there are at most %d slots", f, slotsMax)
		}
	}
	return nil
}
