package chaos

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"

	"raftlab/internal/nearest"
)

// Target says at whom a fault is aimed: one of the words below, or names of members (n1,n3). A word is
// resolved when the fault is injected, because only then is it known who leads.
type Target string

const (
	One      Target = "one"      // any one member
	Minority Target = "minority" // the most members that leave a majority
	Half     Target = "half"     // half of the members: of an odd number, as many as minority
	Majority Target = "majority" // the fewest members that leave none
	Leader   Target = "leader"   // who leads at injection
	Follower Target = "follower" // any one member that does not lead
	// LeaderMinority is the leader with one more, where five or more leave a majority; of three, the leader alone.
	LeaderMinority Target = "leader-minority"
	All            Target = "all" // every member
)

// Targets are the words that ParseTarget knows.
var Targets = []Target{One, Minority, Half, Majority, Leader, Follower, LeaderMinority, All}

// ErrTarget is wrapped by every error about a target: a word that nobody knows, or one that picks nobody.
var ErrTarget = errors.New("chaos: target")

var memberName = regexp.MustCompile(`^n[1-9][0-9]*$`)

// ParseTarget accepts the words of Targets and lists of member names. Anything else is an error that names
// what is known: a lab in which a misspelt word falls back to a default hits a member that nobody meant.
func ParseTarget(s string) (Target, error) {
	if slices.Contains(Targets, Target(s)) {
		return Target(s), nil
	}
	names := strings.Split(s, ",")
	for i, name := range names {
		if !memberName.MatchString(name) {
			return "", fmt.Errorf("%w %q is not known; %s", ErrTarget, s, nearest.Hint(s, texts(Targets), "use "+words(Targets)+", or members such as n1,n3"))
		}
		if slices.Contains(names[:i], name) {
			return "", fmt.Errorf("%w %q names %s twice", ErrTarget, s, name)
		}
	}
	return Target(s), nil
}

// View is what target resolution knows of the cluster: its members in order, who leads, if anybody does, and what
// faults in force have done.
type View struct {
	Members []string
	Leader  string
	// Lost are the members that cannot lead nor follow because of faults in force. Words that draw draw from the others:
	// a second fault is to hit somebody whom the first has left.
	Lost []string
	// Barred says at which members the new fault would mean nothing, and why.
	Barred map[string]string
	// Untold is why nobody can tell who leads, where the System is no harness.Inspector; empty where it can be told.
	Untold string
}

func (v View) noLeader() string {
	if v.Untold != "" {
		return "nobody can tell who leads: " + v.Untold
	}
	return "no member leads"
}

// Resolve names the members that t means now, in the order of v.Members. It never answers with nobody: a
// fault that hits nobody would look like one that the store survived.
func (t Target) Resolve(v View, rng *rand.Rand) ([]string, error) {
	n := len(v.Members)
	free := v.free()
	switch t {
	case One:
		return pick(t, free, 1, rng)
	case Minority:
		return pick(t, free, (n-1)/2-len(v.Lost), rng)
	case Half:
		return pick(t, free, n/2, rng)
	case Majority:
		return pick(t, free, n/2+1, rng)
	case Follower:
		if v.Leader == "" {
			return nil, fmt.Errorf("%w %s: %s, so it is not known who follows", ErrTarget, t, v.noLeader())
		}
		return pick(t, without(free, v.Leader), 1, rng)
	}
	chosen, err := t.named(v, rng)
	if err != nil {
		return nil, err
	}
	for _, node := range chosen {
		if why, barred := v.Barred[node]; barred {
			return nil, fmt.Errorf("%w %s: %s at %s: it would mean nothing there", ErrTarget, t, why, node)
		}
	}
	return inOrder(v.Members, chosen), nil
}

// free are the members among which a word may draw.
func (v View) free() []string {
	return slices.DeleteFunc(slices.Clone(v.Members), func(m string) bool {
		_, barred := v.Barred[m]
		return barred || slices.Contains(v.Lost, m)
	})
}

// named are the members that a word means whatever has become of them.
func (t Target) named(v View, rng *rand.Rand) ([]string, error) {
	switch t {
	case All:
		if len(v.Members) == 0 {
			return nil, fmt.Errorf("%w %s picks nobody out of 0 members", ErrTarget, t)
		}
		return v.Members, nil
	case Leader, LeaderMinority:
		if v.Leader == "" {
			return nil, fmt.Errorf("%w %s: %s", ErrTarget, t, v.noLeader())
		}
		chosen := []string{v.Leader}
		// As many of the others as leave a majority, at most one.
		if others := without(v.free(), v.Leader); t == LeaderMinority && (len(v.Members)-1)/2-len(v.Lost) > 1 && len(others) > 0 {
			chosen = append(chosen, others[rng.IntN(len(others))])
		}
		return chosen, nil
	}
	for _, name := range t.certain() {
		if !slices.Contains(v.Members, name) {
			return nil, fmt.Errorf("%w %s: there is no member %s among %s", ErrTarget, t, name, strings.Join(v.Members, " "))
		}
	}
	return t.certain(), nil
}

// certain are the names in t, nil where it is a word.
func (t Target) certain() []string {
	if slices.Contains(Targets, t) || t == "" {
		return nil
	}
	return strings.Split(string(t), ",")
}

func without(nodes []string, node string) []string {
	return slices.DeleteFunc(slices.Clone(nodes), func(m string) bool { return m == node })
}

func pick(t Target, from []string, count int, rng *rand.Rand) ([]string, error) {
	if count < 1 || len(from) < count {
		return nil, fmt.Errorf("%w %s picks nobody: %d members are left to draw from", ErrTarget, t, len(from))
	}
	var chosen []string
	for _, i := range rng.Perm(len(from))[:count] {
		chosen = append(chosen, from[i])
	}
	return inOrder(from, chosen), nil
}

func inOrder(members, chosen []string) []string {
	return slices.DeleteFunc(slices.Clone(members), func(m string) bool { return !slices.Contains(chosen, m) })
}

func words[T ~string](list []T) string { return strings.Join(texts(list), ", ") }

func texts[T ~string](list []T) []string {
	all := make([]string, len(list))
	for i, w := range list {
		all[i] = string(w)
	}
	return all
}

// needsLeader says whether t cannot be resolved without one.
func (t Target) needsLeader() bool { return t == Leader || t == Follower || t == LeaderMinority }
