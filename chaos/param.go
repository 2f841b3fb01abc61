package chaos

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Param is one thing that can be said of a fault, as name=value.
type Param struct {
	Name    string
	Unit    Unit
	Default string   // as a schedule would have it; empty: it must be given
	Means   string   // for `raftlab list`
	Words   []string // that a Word may be
}

// Unit says how a value is written.
type Unit string

const (
	Duration Unit = "duration" // 200ms
	Signed   Unit = "signed"   // a duration that may be negative: -2s
	Percent  Unit = "percent"  // 30%
	Number   Unit = "number"   // a whole number from 0
	Ratio    Unit = "ratio"    // a decimal number above 0: 1.5
	Bytes    Unit = "bytes"    // 64KiB, 1MiB, 500
	Word     Unit = "word"     // one of Param.Words
)

var byteUnits = []struct {
	suffix string
	bytes  uint64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {"", 1}}

// canonical is text as it is printed, or why it is no value of p.
func (p Param) canonical(text string) (string, error) {
	bad := func(want string) (string, error) { return "", fmt.Errorf("%s=%s is not %s", p.Name, text, want) }
	switch p.Unit {
	case Duration, Signed:
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 && p.Unit == Duration {
			return bad("a time such as 200ms")
		}
		return d.String(), nil
	case Percent:
		number, found := strings.CutSuffix(text, "%")
		v, err := strconv.ParseFloat(number, 64)
		if err != nil || !found || !(v >= 0 && v <= 100) {
			return bad("a share from 0% to 100%")
		}
		return strconv.FormatFloat(v, 'f', -1, 64) + "%", nil
	case Number:
		v, err := strconv.ParseUint(text, 10, 63)
		if err != nil {
			return bad("a whole number")
		}
		return strconv.FormatUint(v, 10), nil
	case Ratio:
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || !(v > 0 && v < 1e9) {
			return bad("a number above 0")
		}
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case Bytes:
		v, err := parseBytes(text)
		if err != nil {
			return bad("a size such as 64KiB")
		}
		return formatBytes(v), nil
	case Word:
		if !slices.Contains(p.Words, text) {
			return bad("one of " + strings.Join(p.Words, ", "))
		}
		return text, nil
	}
	panic("chaos: parameter " + p.Name + " has no unit")
}

func parseBytes(text string) (uint64, error) {
	for _, u := range byteUnits {
		if number, found := strings.CutSuffix(text, u.suffix); found {
			v, err := strconv.ParseUint(number, 10, 32)
			return v * u.bytes, err
		}
	}
	return 0, strconv.ErrSyntax
}

func formatBytes(v uint64) string {
	for _, u := range byteUnits {
		if v >= u.bytes && v%u.bytes == 0 && u.suffix != "" {
			return fmt.Sprint(v/u.bytes) + u.suffix
		}
	}
	return "0B"
}

// value is the text of a parameter of f, its default where f does not say. A name that the family does not have is our
// bug.
func (f Fault) value(name string) string {
	if text, given := f.Params[name]; given {
		return text
	}
	for _, p := range f.Kind.family().Params {
		if p.Name == name {
			return p.Default
		}
	}
	panic(fmt.Sprintf("chaos: %s has no parameter %s", f.Kind, name))
}

// Duration is the value of a parameter whose unit is Duration or Signed.
func (f Fault) Duration(name string) time.Duration {
	d, err := time.ParseDuration(f.value(name))
	f.must(name, err)
	return d
}

// Share is the value of a Percent, from 0 to 1.
func (f Fault) Share(name string) float64 {
	v, err := strconv.ParseFloat(strings.TrimSuffix(f.value(name), "%"), 64)
	f.must(name, err)
	return v / 100
}

// Number is the value of a Number.
func (f Fault) Number(name string) uint64 {
	v, err := strconv.ParseUint(f.value(name), 10, 63)
	f.must(name, err)
	return v
}

// Ratio is the value of a Ratio.
func (f Fault) Ratio(name string) float64 {
	v, err := strconv.ParseFloat(f.value(name), 64)
	f.must(name, err)
	return v
}

// Bytes is the value of a Bytes.
func (f Fault) Bytes(name string) uint64 {
	v, err := parseBytes(f.value(name))
	f.must(name, err)
	return v
}

// Word is the value of a Word.
func (f Fault) Word(name string) string { return f.value(name) }

func (f Fault) must(name string, err error) {
	if err != nil {
		panic(fmt.Sprintf("chaos: %s: parameter %s was not parsed: %v", f, name, err))
	}
}
