package endurance

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"time"

	"raftlab/harness"
)

// status of a member that answers.
func (w *world) status(node string) harness.Status {
	w.t.Helper()
	var status harness.Status
	w.eventually(10*time.Second, func() (bool, string) {
		endpoint, err := w.Endpoint(w.t.Context(), node)
		if err == nil {
			status, err = w.system.Inspect(w.t.Context(), endpoint)
		}
		return err == nil, fmt.Sprint(err)
	})
	return status
}

// metric reads one number of GET /metrics.
func (w *world) metric(node, name string) float64 {
	w.t.Helper()
	endpoint, err := w.Endpoint(w.t.Context(), node)
	w.must(err)
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, "http://"+endpoint+"/metrics", nil)
	w.must(err)
	request.Close = true
	reply, err := http.DefaultClient.Do(request)
	w.must(err)
	defer reply.Body.Close()
	for lines := bufio.NewScanner(reply.Body); lines.Scan(); {
		if rest, found := strings.CutPrefix(lines.Text(), name+" "); found {
			var value float64
			if _, err := fmt.Sscan(rest, &value); err != nil {
				w.t.Fatalf("%s of %s: %v", name, node, err)
			}
			return value
		}
	}
	w.t.Fatalf("%s has no metric %s", node, name)
	return 0
}

// put writes a value outside the history, through any member that takes it.
func (w *world) put(key string, value []byte) {
	w.t.Helper()
	var why error
	for _, node := range harness.Names(w) {
		endpoint, err := w.Endpoint(w.t.Context(), node)
		w.must(err)
		request, err := http.NewRequestWithContext(within(w.t, 2*time.Second), http.MethodPut, "http://"+endpoint+"/"+key, bytes.NewReader(value))
		w.must(err)
		request.Close = true
		reply, err := http.DefaultClient.Do(request)
		if err == nil {
			reply.Body.Close()
			if reply.StatusCode == http.StatusOK {
				return
			}
			err = fmt.Errorf("%s", reply.Status)
		}
		why = err
	}
	w.t.Logf("nobody takes a write: %v", why)
}
