package harness

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"raftlab/linearizability"
)

// Recorder keeps a history. *linearizability.Recorder is one: Invoke writes the call to disk before it
// returns, so that nothing can be sent that the history does not know of. It gives the operation its id, and
// a client whose last outcome was Unknown a new process.
type Recorder interface {
	Invoke(op linearizability.Operation) (linearizability.Operation, error)
	Return(id int64, result linearizability.Result) (linearizability.Operation, error)
}

// LoadConfig says who asks what, and how fast. Zero values mean the default.
type LoadConfig struct {
	Seed     uint64
	Clients  int           // default 10
	Rate     float64       // operations per second over all clients, default 100; a client that waits does not catch up
	Timeout  time.Duration // of one operation, default 1 s; then its outcome is Unknown
	Workload Workload      // required
	Recorder Recorder      // required

	// Aim names the member that the first Aimed clients ask next, empty where they are to go on as the others do. A
	// client library that knows the leader asks it first, and again while it is silent; whoever looks for stale reads
	// and writes of unknown fate wants as many of these as it can get.
	Aim   func() string
	Aimed int
}

func (c *LoadConfig) defaults() error {
	if c.Clients == 0 {
		c.Clients = 10
	}
	if c.Rate == 0 {
		c.Rate = 100
	}
	if c.Timeout == 0 {
		c.Timeout = time.Second
	}
	switch {
	case c.Aimed > 0 && c.Aim == nil || c.Aimed < 0 || c.Aimed > c.Clients:
		return fmt.Errorf("harness: load: %d of %d clients cannot be aimed", c.Aimed, c.Clients)
	case c.Clients < 0 || c.Rate < 0 || c.Timeout < 0:
		return fmt.Errorf("harness: load: clients %d, rate %g and timeout %s must not be negative", c.Clients, c.Rate, c.Timeout)
	case c.Workload == nil:
		return errors.New("harness: load: no workload")
	case c.Recorder == nil:
		return errors.New("harness: load: no recorder")
	}
	return nil
}

// Load is a number of clients that ask one thing after another until they are stopped. Each call is recorded
// before it is sent and each is sent once. Methods are safe for concurrent use.
type Load struct {
	config  LoadConfig
	cluster Cluster
	system  System
	cancel  context.CancelFunc
	stop    chan struct{} // closed: begin nothing new
	stopped sync.Once
	clients sync.WaitGroup
	tally   *tally
	homes   homes
	err     error // the first failure of the recorder or of a dial; read after clients has ended
	failed  sync.Once
}

// StartLoad dials every client and lets them go. When ctx ends the operations in flight are cut short (and are
// Unknown); Stop lets them end.
func StartLoad(ctx context.Context, c Cluster, s System, config LoadConfig) (*Load, error) {
	if err := config.defaults(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	l := &Load{config: config, cluster: c, system: s, cancel: cancel, stop: make(chan struct{}), tally: newTally(config.Clients), homes: homes{of: map[int]string{}}}
	var workers []*worker
	for i := range config.Clients {
		w, err := newWorker(l, i)
		if err != nil {
			cancel()
			for _, w := range workers {
				w.close()
			}
			return nil, err
		}
		workers = append(workers, w)
	}
	for _, w := range workers {
		l.clients.Go(func() {
			if err := w.run(ctx); err != nil {
				l.failed.Do(func() { l.err = err })
				cancel() // a history with holes proves nothing: end the run
			}
		})
	}
	return l, nil
}

// Phase names what is going on from now on, such as "fault 2": operations carry the phase of their call, and
// Counts tells them apart by it.
func (l *Load) Phase(name string) { l.tally.enter(name) }

// Counts says what the clients have seen so far.
func (l *Load) Counts() Counts { return l.tally.counts() }

// Stop begins nothing new, waits for what is in flight (at most one time-out), and returns the error that ended
// the load before, if one did.
func (l *Load) Stop() error {
	l.stopped.Do(func() { close(l.stop) })
	l.clients.Wait()
	l.cancel()
	l.tally.end()
	return l.err
}

// worker is one client of the load. The even ones stay at one member while it is one: they are the ones that
// ask an isolated leader again and again, which is how stale reads are found. The odd ones go to the next member
// when theirs does not answer, as a user's client would, and keep writes flowing on the side of the majority. Whose
// member is dropped goes to another, and of two that stay at one member one goes to a member that nobody stays at, so that
// a newcomer in place of a member is asked as that was.
type worker struct {
	load    *Load
	id      int
	at      string // the member that it asks
	roams   bool
	aimed   bool
	rand    *rand.Rand
	clients map[string]Client // of each member that it has asked
}

// Roams says whether a client of a load goes to the next member when its own does not answer.
func Roams(client int) bool { return client%2 == 1 }

func newWorker(l *Load, id int) (*worker, error) {
	members := Names(l.cluster)
	w := &worker{
		load: l, id: id, at: l.homes.find(id, members), roams: Roams(id), aimed: id < l.config.Aimed,
		rand:    rand.New(rand.NewPCG(l.config.Seed, uint64(id))),
		clients: map[string]Client{},
	}
	_, err := w.client(w.at)
	return w, err
}

// client dials a member once.
func (w *worker) client(node string) (Client, error) {
	if c, dialled := w.clients[node]; dialled {
		return c, nil
	}
	c, err := w.load.system.Dial(node, func(ctx context.Context) (string, error) { return w.load.cluster.Endpoint(ctx, node) })
	if err != nil {
		return nil, fmt.Errorf("harness: load: dial %s: %w", node, err)
	}
	w.clients[node] = c
	return c, nil
}

func (w *worker) close() {
	for _, c := range w.clients {
		c.Close()
	}
}

// choose leaves members that were dropped.
func (w *worker) choose() {
	members := Names(w.load.cluster)
	for node, c := range w.clients {
		if !slices.Contains(members, node) {
			c.Close()
			delete(w.clients, node)
		}
	}
	if aim := w.aim(); slices.Contains(members, aim) {
		w.at = aim
	}
	if stays := !w.roams && !w.aimed; stays || !slices.Contains(members, w.at) {
		w.at = w.load.homes.find(w.id, members)
	}
}

// aim is the member that it has to ask next, empty where it goes on as the others do.
func (w *worker) aim() string {
	if !w.aimed {
		return ""
	}
	return w.load.config.Aim()
}

// next leaves a member that did not answer.
func (w *worker) next() {
	members := Names(w.load.cluster)
	w.at = members[(slices.Index(members, w.at)+1)%len(members)]
}

// ends says whether Stop was called.
func (l *Load) ends() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

func (w *worker) run(ctx context.Context) error {
	defer w.close()
	interval := time.Duration(float64(w.load.config.Clients) / w.load.config.Rate * float64(time.Second))
	// The first calls are spread over one interval, so that the clients do not march in step.
	timer := time.NewTimer(time.Duration(w.rand.Float64() * float64(interval)))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.load.stop:
			return nil
		case <-timer.C:
		}
		if ctx.Err() != nil || w.load.ends() { // it was ready too: begin nothing that can only end as Unknown
			return nil
		}
		began := time.Now()
		if err := w.once(ctx); err != nil {
			return err
		}
		timer.Reset(max(interval-time.Since(began), 0))
	}
}

// once makes one operation: decided, recorded, sent, recorded again.
func (w *worker) once(ctx context.Context) error {
	op, ok := w.load.config.Workload.Next(w.rand, w.id)
	if !ok {
		return nil
	}
	w.choose()
	client, err := w.client(w.at)
	if err != nil {
		w.load.config.Workload.Observe(op)
		return err
	}
	op.Client, op.Node, op.Phase = w.id, w.at, w.load.tally.phase()
	send := within(w.load.config.Timeout, client)
	if op.Once != "" {
		send = w.repeat
	}
	op, err = record(ctx, w.load.config.Recorder, op, send)
	w.load.config.Workload.Observe(op)
	if err != nil {
		return err
	}
	w.load.tally.add(op)
	if op.Outcome != linearizability.OK && w.roams {
		w.next()
	}
	return nil
}

// record records the call, sends it, and records what came back. The error is the recorder's.
func record(ctx context.Context, rec Recorder, op linearizability.Operation, send sender) (linearizability.Operation, error) {
	op, err := rec.Invoke(op)
	if err != nil {
		return op, fmt.Errorf("harness: record a call: %w", err)
	}
	if op, err = rec.Return(op.ID, send(ctx, op)); err != nil {
		return op, fmt.Errorf("harness: record a return: %w", err)
	}
	return op, nil
}

// sender sends an operation and says what may be concluded.
type sender func(context.Context, linearizability.Operation) linearizability.Result

// within is one attempt that has so much time.
func within(timeout time.Duration, c Client) sender {
	return func(ctx context.Context, op linearizability.Operation) linearizability.Result {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		return c.Do(ctx, op)
	}
}

// FinalReads is the phase of the operations of ReadAll.
const FinalReads = "final reads"

// ReadAll reads every key on every member, each until it has an answer or ctx ends: the final reads, after all
// faults are healed. Every attempt is recorded as an operation of its own, with client numbers from firstClient on,
// one per member, which must not be those of a load. What has no answer is named in the error.
func ReadAll(ctx context.Context, c Cluster, s System, rec Recorder, keys []string, firstClient int, timeout time.Duration) (Counts, error) {
	nodes := Names(c)
	counts := newTally(0)
	counts.enter(FinalReads)
	errs := make([]error, len(nodes))
	var wg sync.WaitGroup
	for i, node := range nodes {
		wg.Go(func() {
			client, err := s.Dial(node, func(ctx context.Context) (string, error) { return c.Endpoint(ctx, node) })
			if err != nil {
				errs[i] = fmt.Errorf("harness: final reads: dial %s: %w", node, err)
				return
			}
			defer client.Close()
			for _, key := range keys {
				op := linearizability.Operation{Client: firstClient + i, Node: node, Phase: counts.phase(), Kind: linearizability.Get, Key: key}
				if errs[i] = readUntilOK(ctx, rec, client, op, timeout, counts); errs[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	counts.end()
	return counts.counts(), errors.Join(errs...)
}

func readUntilOK(ctx context.Context, rec Recorder, c Client, op linearizability.Operation, timeout time.Duration, counts *tally) error {
	for {
		done, err := record(ctx, rec, op, within(timeout, c))
		if err != nil {
			return err
		}
		counts.add(done)
		if done.Outcome == linearizability.OK {
			return nil
		}
		select {
		case <-ctx.Done():
			return missed{what: fmt.Sprintf("final read of %s on %s", op.Key, op.Node), why: done.Error, cause: context.Cause(ctx)}
		case <-time.After(awaitInterval):
		}
	}
}
