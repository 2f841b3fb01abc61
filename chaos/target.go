package chaos

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
)

// Target says at whom a fault is aimed: one of the words below, or names of members (n1,n3). A word is
// resolved when the fault is injected, because only then is it known who leads.
type Target string

const (
	One      Target = "one"      // any one member
	Minority Target = "minority" // the most members that leave a majority
	Majority Target = "majority" // the fewest members that leave none
	Leader   Target = "leader"   // who leads at injection
	Follower Target = "follower" // any one member that does not lead
	// LeaderMinority is the leader with one more, where five or more leave a majority; of three, the leader alone.
	LeaderMinority Target = "leader-minority"
	All            Target = "all" // every member
)

// Targets are the words that ParseTarget knows.
var Targets = []Target{One, Minority, Majority, Leader, Follower, LeaderMinority, All}

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
			return "", fmt.Errorf("%w %q is not known; use %s, or members such as n1,n3", ErrTarget, s, words(Targets))
		}
		if slices.Contains(names[:i], name) {
			return "", fmt.Errorf("%w %q names %s twice", ErrTarget, s, name)
		}
	}
	return Target(s), nil
}

// View is what target resolution knows of the cluster: its members in order, and who leads, if anybody does.
type View struct {
	Members []string
	Leader  string
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
	switch t {
	case One:
		return pick(t, v.Members, 1, rng)
	case Minority:
		return pick(t, v.Members, (n-1)/2, rng)
	case Majority:
		return pick(t, v.Members, n/2+1, rng)
	case All:
		return pick(t, v.Members, n, rng)
	case Leader:
		if v.Leader == "" {
			return nil, fmt.Errorf("%w %s: %s", ErrTarget, t, v.noLeader())
		}
		return []string{v.Leader}, nil
	case LeaderMinority:
		return leaderMinority(v, rng)
	case Follower:
		if v.Leader == "" {
			return nil, fmt.Errorf("%w %s: %s, so it is not known who follows", ErrTarget, t, v.noLeader())
		}
		followers := slices.DeleteFunc(slices.Clone(v.Members), func(m string) bool { return m == v.Leader })
		return pick(t, followers, 1, rng)
	}
	names := strings.Split(string(t), ",")
	for _, name := range names {
		if !slices.Contains(v.Members, name) {
			return nil, fmt.Errorf("%w %s: there is no member %s among %s", ErrTarget, t, name, strings.Join(v.Members, " "))
		}
	}
	return inOrder(v.Members, names), nil
}

// leaderMinority takes as many of the others with the leader as leave a majority, at most one.
func leaderMinority(v View, rng *rand.Rand) ([]string, error) {
	if v.Leader == "" {
		return nil, fmt.Errorf("%w %s: %s", ErrTarget, LeaderMinority, v.noLeader())
	}
	others := slices.DeleteFunc(slices.Clone(v.Members), func(m string) bool { return m == v.Leader })
	chosen := []string{v.Leader}
	if (len(v.Members)-1)/2 > 1 {
		chosen = append(chosen, others[rng.IntN(len(others))])
	}
	return inOrder(v.Members, chosen), nil
}

func pick(t Target, from []string, count int, rng *rand.Rand) ([]string, error) {
	if count < 1 || len(from) < count {
		return nil, fmt.Errorf("%w %s picks nobody out of %d members", ErrTarget, t, len(from))
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

func words[T ~string](list []T) string {
	all := make([]string, len(list))
	for i, w := range list {
		all[i] = string(w)
	}
	return strings.Join(all, ", ")
}
