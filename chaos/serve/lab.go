package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
	"sync"
	"time"

	"raftlab/chaos"
	"raftlab/harness"
	"raftlab/node/live"
)

const (
	injectTimeout = 15 * time.Second
	viewBytesMax  = 1 << 20
)

// Lab is a running cluster of raftd that is shown, and broken by hand. Faults stay in force until they are healed. It does
// not own the cluster: who started it closes it, after Heal.
type Lab struct {
	cluster harness.Cluster
	system  harness.System
	client  *http.Client
	watcher *live.Watcher

	mu      sync.Mutex // one fault at a time
	inForce []*chaos.Injected
}

// NewLab shows the cluster.
func NewLab(cluster harness.Cluster, system harness.System) *Lab {
	l := &Lab{cluster: cluster, system: system, client: &http.Client{Transport: &http.Transport{Proxy: nil, MaxIdleConnsPerHost: 8}}}
	l.watcher = live.Watch(source{l})
	return l
}

func (l *Lab) register(routes *http.ServeMux, loopback bool) {
	routes.HandleFunc("GET /live", func(w http.ResponseWriter, _ *http.Request) {
		options := live.Options{Title: fmt.Sprintf("%d members, %s", len(l.cluster.Places()), l.cluster.World()), Events: "/live/events", Keys: "/live/kv/{member}/", Curl: "curl -fsS", Back: "/"}
		if loopback {
			options.Faults = "/live/faults"
		}
		page, err := live.Page(options)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", live.Policy)
		w.Write(page) // an error means that the browser is gone
	})
	routes.HandleFunc("GET /live/events", func(w http.ResponseWriter, r *http.Request) { l.watcher.Serve(r.Context(), w) })
	routes.HandleFunc("/live/kv/{member}/{key...}", l.forward)
	if loopback {
		routes.HandleFunc("POST /live/faults", l.faults)
	}
}

// faults takes {"do": "kill", "node": "n1"} and answers with one sentence.
func (l *Lab) faults(w http.ResponseWriter, r *http.Request) {
	var asked struct{ Do, Node string }
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10)).Decode(&asked); err != nil {
		http.Error(w, "the body is not {\"do\": ..., \"node\": ...}", http.StatusBadRequest)
		return
	}
	// A fault that has begun is finished, whether or not the browser waits for it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), injectTimeout)
	defer cancel()
	said, err := "", error(nil)
	if asked.Do == "heal" {
		said, err = l.Heal(ctx)
	} else {
		said, err = l.Break(ctx, asked.Do, asked.Node)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	fmt.Fprintln(w, said)
}

// kinds are what can be done by hand, by the words of the buttons.
var kinds = map[string]string{"kill": "crash", "pause": "pause", "partition": "partition"}

// Break puts a fault in force at a member, or at "leader", and says what was seen of it.
func (l *Lab) Break(ctx context.Context, what, node string) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kind, known := kinds[what]
	if !known {
		return "", fmt.Errorf("%q is not known; use kill, pause, partition or heal", what)
	}
	if node == "leader" {
		found, _, err := harness.AwaitLeader(ctx, l.cluster, l.system)
		if err != nil {
			return "", fmt.Errorf("nobody leads: %w", err)
		}
		node = found
	}
	if !slices.Contains(harness.Names(l.cluster), node) {
		return "", fmt.Errorf("there is no member %q among %s", node, strings.Join(harness.Names(l.cluster), " "))
	}
	for _, f := range l.inForce {
		if slices.Contains(f.Nodes, node) {
			return "", fmt.Errorf("%s is hit by %s already; heal first", node, f.Fault)
		}
	}
	fault, err := chaos.ParseFault(kind + " " + node)
	if err != nil {
		return "", err
	}
	injected := &chaos.Injected{Fault: fault, Nodes: []string{node}, Members: harness.Names(l.cluster), Cluster: l.cluster, System: l.system, Random: chaos.Random(uint64(time.Now().UnixNano()), 1)}
	if err := injected.Prepare(ctx); err != nil {
		return "", err
	}
	l.inForce = append(l.inForce, injected) // also if it fails: half of it may be in force
	if err := injected.Inject(ctx); err != nil {
		return "", err
	}
	l.tell("%s is in force", fault)
	return fmt.Sprintf("%s is in force", fault), nil
}

// Heal undoes every fault, the last first, and says what proved each.
func (l *Lab) Heal(ctx context.Context) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.inForce) == 0 {
		return "nothing is in force", nil
	}
	var said []string
	var failed []error
	var left []*chaos.Injected
	for _, f := range slices.Backward(l.inForce) {
		_ = f.Observe(ctx) // what is missing is named in the evidence
		if err := f.Undo(ctx); err != nil {
			failed, left = append(failed, fmt.Errorf("%s: %w", f.Fault, err)), append(left, f)
			continue
		}
		evidence := f.Evidence()
		said = append(said, fmt.Sprintf("%s healed, %s: %s", f.Fault, evidence.Outcome, evidence.Says))
	}
	slices.Reverse(left)
	l.inForce = left
	l.tell("%s", strings.Join(said, "; "))
	return strings.Join(said, "; "), errors.Join(failed...)
}

// tell shows in every page what was done and what is in force.
func (l *Lab) tell(format string, args ...any) {
	list := []string{}
	for _, f := range l.inForce {
		list = append(list, f.Fault.String())
	}
	l.watcher.Keep("faults", list)
	l.watcher.Tell("lab", live.Event{Time: time.Now(), Sentence: "lab: " + fmt.Sprintf(format, args...)})
}

// Close ends what the Lab has open. Streams to browsers must have ended.
func (l *Lab) Close() {
	l.watcher.Close()
	l.client.CloseIdleConnections()
}

// forward passes a request for a key to the member that was chosen: a browser may ask only where the page came from.
func (l *Lab) forward(w http.ResponseWriter, r *http.Request) {
	member := r.PathValue("member")
	if !slices.Contains(harness.Names(l.cluster), member) {
		http.Error(w, "there is no member "+member, http.StatusNotFound)
		return
	}
	endpoint, err := l.cluster.Endpoint(r.Context(), member)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	proxy := httputil.ReverseProxy{
		Transport: l.client.Transport,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = "http", endpoint
			p.Out.URL.Path, p.Out.URL.RawPath = "/v1/kv/"+r.PathValue("key"), ""
			p.Out.Host = endpoint
			p.Out.Header.Del("Origin")
			p.Out.Header.Del("Sec-Fetch-Site")
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, member+" does not answer: "+err.Error(), http.StatusBadGateway)
		},
	}
	proxy.ServeHTTP(w, r)
}

// source reaches members as the lab does: past the links that are cut between them.
type source struct{ l *Lab }

func (s source) Members() []live.Member {
	var members []live.Member
	for _, p := range s.l.cluster.Places() {
		at, err := s.endpoint(p.Address)
		if err != nil {
			at = ""
		}
		members = append(members, live.Member{Address: p.Address, Name: p.Name, At: at})
	}
	return members
}

func (s source) endpoint(address string) (string, error) {
	for _, p := range s.l.cluster.Places() {
		if p.Address == address {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			return s.l.cluster.Endpoint(ctx, p.Name)
		}
	}
	return "", fmt.Errorf("there is no member at %s", address)
}

func (s source) View(ctx context.Context, address string) (json.RawMessage, error) {
	body, err := s.get(ctx, address, "/__pyraft/view")
	if err != nil {
		return nil, err
	}
	defer body.Close()
	view, err := io.ReadAll(io.LimitReader(body, viewBytesMax))
	if err == nil && !json.Valid(view) {
		err = errors.New("what answers is not raftd of this version")
	}
	return view, err
}

func (s source) Follow(ctx context.Context, address string, tell func(live.Event)) error {
	body, err := s.get(ctx, address, "/__pyraft/events")
	if err != nil {
		return err
	}
	defer body.Close()
	return live.ReadEvents(body, tell)
}

func (s source) get(ctx context.Context, address, path string) (io.ReadCloser, error) {
	endpoint, err := s.endpoint(address)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+endpoint+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := s.l.client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("it answers %s", response.Status)
	}
	return response.Body, nil
}
