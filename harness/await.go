package harness

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// ErrNotInTime wraps the context's error where something was awaited and did not come.
var ErrNotInTime = errors.New("harness: did not happen in time")

const (
	awaitInterval = 50 * time.Millisecond
	// inspectTimeout bounds one question to a member: a paused one accepts the connection and never answers.
	inspectTimeout = 500 * time.Millisecond
)

// missed is an ErrNotInTime. It begins with the true cause: what ended the wait, if that was more than its deadline,
// else what was still missing when it came.
type missed struct {
	what, why string
	cause     error
}

func (m missed) Error() string {
	why := m.why
	if !errors.Is(m.cause, context.DeadlineExceeded) {
		why = m.cause.Error()
	}
	return fmt.Sprintf("%s (%v: %s)", why, ErrNotInTime, m.what)
}

func (m missed) Unwrap() []error { return []error{ErrNotInTime, m.cause} }

// await asks until done returns true or ctx ends; why says in the error what was still missing. An error of done
// ends the wait at once: it is for what no patience changes.
func await(ctx context.Context, what string, done func(context.Context) (ok bool, why string, err error)) error {
	var why string
	for {
		ok, reason, err := done(ctx)
		if ok || err != nil {
			return err
		}
		if ctx.Err() == nil || why == "" { // once ctx has ended every question fails: keep the better reason
			why = reason
		}
		select {
		case <-ctx.Done():
			return missed{what: what, why: why, cause: context.Cause(ctx)}
		case <-time.After(awaitInterval):
		}
	}
}

// AwaitReady returns when every named member is Ready, or every member where none is named. The deadline is
// that of ctx.
func AwaitReady(ctx context.Context, c Cluster, s System, nodes ...string) error {
	if len(nodes) == 0 {
		nodes = Names(c)
	}
	return await(ctx, "members ready", func(ctx context.Context) (bool, string, error) {
		failed := each(ctx, nodes, func(ctx context.Context, node string) error {
			endpoint, err := c.Endpoint(ctx, node)
			if err != nil {
				return err
			}
			return s.Ready(ctx, endpoint)
		})
		return len(failed) == 0, describe(failed), nil
	})
}

// AwaitLeader returns the member that calls itself leader in the highest term that any member names, once a
// majority of those asked follow it. The error is ErrUnsupported, at once, where the System is no Inspector.
func AwaitLeader(ctx context.Context, c Cluster, s System) (node string, status Status, err error) {
	err = await(ctx, "a leader that a majority follows", func(ctx context.Context) (bool, string, error) {
		statuses, failed, err := InspectAll(ctx, c, s)
		node, status = leaderOf(c, statuses)
		return node != "", describeStatuses(statuses, failed), err
	})
	if err != nil {
		return "", Status{}, err
	}
	return node, status, nil
}

func leaderOf(c Cluster, statuses map[string]Status) (string, Status) {
	for _, place := range c.Places() {
		leader, ok := statuses[place.Name]
		if !ok || leader.Role != "leader" {
			continue
		}
		following := 1
		newest := true
		for name, st := range statuses {
			newest = newest && st.Term <= leader.Term
			if name != place.Name && st.Term == leader.Term && st.Leader == place.Address {
				following++
			}
		}
		if newest && following > len(c.Places())/2 {
			return place.Name, leader
		}
	}
	return "", Status{}
}

// AwaitConverged returns when every member answers and all report the same applied index, the same hash of
// the state there, and nothing committed beyond it. A time-out is a failure of liveness, or members that differ. The
// error is ErrUnsupported, at once, where the System is no Inspector: then nobody can compare members.
func AwaitConverged(ctx context.Context, c Cluster, s System) (map[string]Status, error) {
	var statuses map[string]Status
	err := await(ctx, "members converged", func(ctx context.Context) (bool, string, error) {
		var failed map[string]error
		var err error
		statuses, failed, err = InspectAll(ctx, c, s)
		return err == nil && len(failed) == 0 && converged(statuses), describeStatuses(statuses, failed), err
	})
	return statuses, err
}

func converged(statuses map[string]Status) bool {
	var first *Status
	for _, st := range statuses {
		if first == nil {
			first = &st
		}
		if st.Applied != first.Applied || st.Hash != first.Hash || st.Commit > st.Applied {
			return false
		}
	}
	return first != nil
}

// InspectAll asks every member at once what it knows of itself. The error is ErrUnsupported where the System
// is no Inspector; members that did not answer are in failed.
func InspectAll(ctx context.Context, c Cluster, s System) (statuses map[string]Status, failed map[string]error, err error) {
	inspector, ok := s.(Inspector)
	if !ok {
		return nil, nil, fmt.Errorf("%w: %s does not tell its members' status", ErrUnsupported, s.Name())
	}
	statuses, failed, err = askAll(ctx, c, inspector.Inspect)
	return statuses, failed, err
}

// askAll asks every member at once. It has no error of its own.
func askAll[T any](ctx context.Context, c Cluster, ask func(ctx context.Context, endpoint string) (T, error)) (told map[string]T, failed map[string]error, err error) {
	var mu sync.Mutex
	told = map[string]T{}
	failed = each(ctx, Names(c), func(ctx context.Context, node string) error {
		endpoint, err := c.Endpoint(ctx, node)
		if err != nil {
			return err
		}
		answer, err := ask(ctx, endpoint)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		told[node] = answer
		return nil
	})
	return told, failed, nil
}

// Names lists the members in the order of Places.
func Names(c Cluster) []string {
	var names []string
	for _, place := range c.Places() {
		names = append(names, place.Name)
	}
	return names
}

// each asks all nodes at once, with a short time-out each, so that one that hangs does not hide the others.
func each(ctx context.Context, nodes []string, ask func(context.Context, string) error) map[string]error {
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		failed = map[string]error{}
	)
	for _, node := range nodes {
		wg.Go(func() {
			if err := ask(ctx, node); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed[node] = err
			}
		})
	}
	wg.Wait()
	return failed
}

func describe(failed map[string]error) string {
	var parts []string
	for node, err := range failed {
		parts = append(parts, fmt.Sprintf("%s: %v", node, err))
	}
	slices.Sort(parts)
	return strings.Join(parts, "; ")
}

func describeStatuses(statuses map[string]Status, failed map[string]error) string {
	var parts []string
	for node, st := range statuses {
		parts = append(parts, fmt.Sprintf("%s: %s term %d leader %q commit %d applied %d hash %s",
			node, st.Role, st.Term, st.Leader, st.Commit, st.Applied, st.Hash))
	}
	for node, err := range failed {
		parts = append(parts, fmt.Sprintf("%s: %v", node, err))
	}
	slices.Sort(parts)
	return strings.Join(parts, "; ")
}
