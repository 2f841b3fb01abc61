package api

import (
	"fmt"
	"strings"
	"testing"
)

// Requests with one Idempotency-Key are done once, at whichever member they arrive, and all get the first answer.
func TestIdempotencyKey(t *testing.T) {
	members, _ := three(t, nil)
	same := func(what string, a, b reply) {
		t.Helper()
		for _, name := range []string{"ETag", "Raft-Index", "Raft-Term", "Content-Type"} {
			if a.h.Get(name) != b.h.Get(name) {
				t.Errorf("%s: %s %q, the first had %q", what, name, b.h.Get(name), a.h.Get(name))
			}
		}
		if a.h.Get("Idempotent-Replayed") != "" || b.h.Get("Idempotent-Replayed") != "true" {
			t.Errorf("%s: Idempotent-Replayed %q, then %q", what, a.h.Get("Idempotent-Replayed"), b.h.Get("Idempotent-Replayed"))
		}
		if b.code != a.code || a.code == 200 && b.body != a.body {
			t.Errorf("%s: %d %s, the first was %d %s", what, b.code, b.body, a.code, a.body)
		}
	}
	for i, m := range members {
		path, other := fmt.Sprintf("/k%d", i), members[(i+1)%3]
		id := func(n string) []string { return []string{"Idempotency-Key", n + path} }
		put := do(t, m, "PUT", path, "mine", id(`"quoted"`)...).want(t, 200)
		do(t, m, "PUT", path, "theirs").want(t, 200)
		same("PUT", put, do(t, other, "PUT", path, "mine", id(`"quoted"`)...))

		create := append(id("create"), "If-None-Match", "*")
		refused := do(t, m, "PUT", path, "mine", create...)
		refused.failed(t, 412, "condition_failed")
		do(t, m, "DELETE", path, "").want(t, 200)
		again := do(t, other, "PUT", path, "mine", create...)
		again.failed(t, 412, "condition_failed")
		same("PUT that was refused", refused, again)

		do(t, m, "PUT", path, "theirs").want(t, 200)
		del := do(t, m, "DELETE", path, "", id("delete")...).want(t, 200)
		do(t, m, "PUT", path, "theirs").want(t, 200)
		same("DELETE", del, do(t, other, "DELETE", path, "", id("delete")...))

		for name, r := range map[string]reply{
			"value":     do(t, other, "PUT", path, "another", id("create")...),
			"condition": do(t, other, "PUT", path, "mine", id("create")...),
			"method":    do(t, other, "DELETE", path, "", id("create")...),
			"key":       do(t, other, "PUT", path+"x", "mine", create...),
			"type":      do(t, other, "PUT", path, "mine", append([]string{"Content-Type", "text/plain"}, create...)...),
		} {
			if f := r.failed(t, 422, "idempotency_key_reused"); !strings.Contains(f.Message, "nothing was done") {
				t.Errorf("other %s: %s", name, f.Message)
			}
		}
		if got := do(t, m, "GET", path, "").want(t, 200); got.body != "theirs" {
			t.Errorf("after all: %q", got.body)
		}
		do(t, m, "GET", path, "", id("create")...).want(t, 200) // of no meaning there
	}
}

// Only a member that forwards may use the internal name of the header.
func TestIdempotencyKeyOfTheLinkIsNotForClients(t *testing.T) {
	m := one(t, nil)
	for range 2 {
		if r := do(t, m, "PUT", "/k", "v", idempotencyKeyHeader, "x").want(t, 200); r.h.Get("Idempotent-Replayed") != "" {
			t.Errorf("%v", r.h)
		}
	}
}

// A request that may have been forgotten is refused, at whichever member it arrives, and its answer has what to begin anew
// with. What is remembered is answered as ever.
func TestIdempotencySince(t *testing.T) {
	network := newNetwork()
	network.remembers = 3
	members, _ := threeOn(t, network, nil)
	with := func(key, since string) []string { return []string{"Idempotency-Key", key, "Idempotency-Since", since} }
	first := do(t, members[0], "PUT", "/k", "v", with("first", "1")...).want(t, 200)
	for _, m := range members {
		again := do(t, m, "PUT", "/k", "v", with("first", "1")...).want(t, 200)
		if again.h.Get("Raft-Index") != first.h.Get("Raft-Index") || again.h.Get("Idempotent-Replayed") != "true" {
			t.Errorf("%v, the first had index %s", again.h, first.h.Get("Raft-Index"))
		}
	}
	for _, key := range []string{"b", "c", "d"} {
		do(t, members[0], "PUT", "/k", "w", "Idempotency-Key", key).want(t, 200)
	}
	for _, m := range members {
		late := do(t, m, "PUT", "/k", "v", with("first", "1")...)
		late.failed(t, 409, "idempotency_key_forgotten")
		if late.h.Get("Retry-After") != "" {
			t.Error("it asks for a retry, which would be refused too")
		}
		do(t, m, "PUT", "/k", "w", with("anew"+m.address, late.h.Get("Raft-Index"))...).want(t, 200)
	}
	for name, h := range map[string][]string{
		"no number": with("k", "soon"), "zero": with("k", "0"), "without key": {"Idempotency-Since", "1"},
		"twice": {"Idempotency-Key", "k", "Idempotency-Since", "1", "Idempotency-Since", "1"},
	} {
		if f := do(t, members[1], "PUT", "/k", "v", h...).failed(t, 400, "bad_idempotency_since"); !strings.Contains(f.Message, "the Raft-Index of a reply") {
			t.Errorf("%s: %s", name, f.Message)
		}
	}
}
