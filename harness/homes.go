package harness

import (
	"slices"
	"sync"
)

// homes are the members that clients were given: to begin with, when theirs was dropped, and those that stay at one also when
// another has none.
type homes struct {
	mu sync.Mutex
	of map[int]string
}

// find is the home of a client: as before, unless it is no member any more, or fewer clients of its kind are at home
// elsewhere.
func (h *homes) find(client int, members []string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	count := map[string]int{} // of the others
	for other, node := range h.of {
		if other != client && Roams(other) == Roams(client) {
			count[node]++
		}
	}
	fewest := slices.MinFunc(members, func(a, b string) int { return count[a] - count[b] })
	if now := h.of[client]; !slices.Contains(members, now) || count[now] > count[fewest] {
		h.of[client] = fewest
	}
	return h.of[client]
}
