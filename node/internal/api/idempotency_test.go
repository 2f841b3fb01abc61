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
