package chaos

import (
	"errors"
	"fmt"
	"strings"

	"raftlab/internal/nearest"
)

// Kind names a fault family.
type Kind string

// ErrFault is wrapped by the error about a fault that nobody knows.
var ErrFault = errors.New("chaos: fault")

// Fault is a value: what to break, at whom it is aimed, and what else is said of it. It prints as "partition leader" or
// "delay leader delay=200ms" and parses back.
type Fault struct {
	Kind   Kind              `json:"kind"`
	Target Target            `json:"target"`
	Params map[string]string `json:"params,omitempty"` // those that were given, as they are printed; nil if none
}

func (f Fault) String() string {
	words := []string{string(f.Kind), string(f.Target)}
	if family, known := families[f.Kind]; known {
		for _, p := range family.Params {
			if text, given := f.Params[p.Name]; given {
				words = append(words, p.Name+"="+text)
			}
		}
	}
	return strings.Join(words, " ")
}

// ParseFault reads what String prints. It refuses words that it does not know, and names the known ones.
func ParseFault(text string) (Fault, error) {
	given := strings.Fields(text)
	if len(given) == 0 {
		given = []string{""}
	}
	f := Fault{Kind: Kind(given[0])}
	family, known := families[f.Kind]
	if !known {
		return Fault{}, fmt.Errorf("%w %q is not known; %s", ErrFault, given[0], nearest.Hint(given[0], texts(Kinds()), ""))
	}
	given = given[1:]
	f.Target = family.Target
	if len(given) > 0 && !strings.Contains(given[0], "=") {
		f.Target, given = Target(given[0]), given[1:]
	}
	if _, err := ParseTarget(string(f.Target)); err != nil {
		return Fault{}, err
	}
	for _, word := range given {
		if err := f.set(family, word); err != nil {
			return Fault{}, fmt.Errorf("%w %s: %w", ErrFault, f.Kind, err)
		}
	}
	return f, f.complete(family)
}

// set takes one name=value.
func (f *Fault) set(family Family, word string) error {
	name, text, found := strings.Cut(word, "=")
	if !found {
		return fmt.Errorf("%q is not name=value", word)
	}
	if _, twice := f.Params[name]; twice {
		return fmt.Errorf("%s is given twice", name)
	}
	var known []string
	for _, p := range family.Params {
		if p.Name != name {
			known = append(known, p.Name)
			continue
		}
		value, err := p.canonical(text)
		if err != nil {
			return err
		}
		if f.Params == nil {
			f.Params = make(map[string]string)
		}
		f.Params[name] = value
		return nil
	}
	if len(known) == 0 {
		return fmt.Errorf("parameter %q is not known: it has none", name)
	}
	return fmt.Errorf("parameter %q is not known; %s", name, nearest.Hint(name, known, ""))
}

// complete wants a value for each parameter without a default, and values that go together.
func (f Fault) complete(family Family) error {
	for _, p := range family.Params {
		if _, given := f.Params[p.Name]; !given && p.Default == "" {
			return fmt.Errorf("%w %s: %s must be given: %s", ErrFault, f.Kind, p.Name, p.Means)
		}
	}
	if family.Check == nil {
		return nil
	}
	if err := family.Check(f); err != nil {
		return fmt.Errorf("%w %s: %w", ErrFault, f.Kind, err)
	}
	return nil
}

// check is what a Fault that was not parsed must bear: it prints, parses, and is the same then.
func (f Fault) check() error {
	_, err := ParseFault(f.String())
	return err
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}
