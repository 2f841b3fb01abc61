package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/florianl/go-nfqueue/v2"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"
)

// Shape is what `agent shape` does to the packets of some peers. Delay keeps their order; what is to overtake the others
// is let through at once.
type Shape struct {
	Number    int // of the shape: its table and its queue
	Drops     []Drop
	Loss      float64 // shares, from 0 to 1
	Reorder   float64
	Duplicate float64 // of packets that go out
	Delay     time.Duration
	Jitter    time.Duration // up to so much more or less
	Rate      uint64        // bytes per second and direction; 0: as they come
}

// Passed is what a shape has done to the packets of one peer and direction.
type Passed struct {
	Drop
	Packets    uint64        `json:"packets"` // that came to the queue
	Bytes      uint64        `json:"bytes"`
	Lost       uint64        `json:"lost"`
	Reordered  uint64        `json:"reordered"`
	Duplicated uint64        `json:"duplicated"`
	Released   uint64        `json:"released"`
	Held       time.Duration `json:"held_ns"` // of all that were released, together, measured
}

func parseShape(args []string) (Shape, error) {
	var s Shape
	flags := flag.NewFlagSet("shape", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.IntVar(&s.Number, "number", 1, "")
	flags.Float64Var(&s.Loss, "loss", 0, "")
	flags.Float64Var(&s.Reorder, "reorder", 0, "")
	flags.Float64Var(&s.Duplicate, "duplicate", 0, "")
	flags.DurationVar(&s.Delay, "delay", 0, "")
	flags.DurationVar(&s.Jitter, "jitter", 0, "")
	flags.Uint64Var(&s.Rate, "rate", 0, "")
	peers := peerFlag(flags, &s.Drops)
	if err := flags.Parse(args); err != nil {
		return s, fmt.Errorf("shape: %w: %w", err, errUsage)
	}
	if flags.NArg() > 0 || len(*peers) == 0 || s.Number < 1 || s.Number > 1<<15 {
		return s, fmt.Errorf("shape needs --peer, --number from 1, and nothing else: %w", errUsage)
	}
	return s, nil
}

// shaper holds packets in user space: it works where the kernel has no netem. It is one process per shape, and ends, with
// its rules, when its standard input does: nothing outlives the lab that began it.
type shaper struct {
	Shape
	queue *nfqueue.Nfqueue
	raw   int // socket for copies, -1 where none are made

	mu     sync.Mutex
	passed []Passed
	lanes  []lane
	over   bool // let everything go
}

// lane is one peer and direction: what waits leaves in the order in which it came.
type lane struct {
	waiting chan held
	held    int       // packets that have come and not left
	free    time.Time // when what was sent before has left a link of this rate
	last    time.Time // when what came before is to leave
}

type held struct {
	id     uint32
	came   time.Time
	leaves time.Time
	copied []byte // what to send a second time, nil if nothing
}

const (
	laneMax = 1 << 14
	// copyMark is on packets that were made here, so that they are not shaped again.
	copyMark = 0x7261
)

// runShape says ready when the rules are in force, and answers each line of stdin with what has passed.
func runShape(s Shape, stdin io.Reader, stdout io.Writer) (err error) {
	sh := &shaper{Shape: s, raw: -1, passed: make([]Passed, len(s.Drops)), lanes: make([]lane, len(s.Drops))}
	if s.Duplicate > 0 {
		if sh.raw, err = copySocket(); err != nil {
			return err
		}
		defer unix.Close(sh.raw)
	}
	sh.queue, err = nfqueue.Open(&nfqueue.Config{NfQueue: uint16(s.Number), MaxPacketLen: 0xffff, MaxQueueLen: 0xffff,
		Copymode: nfqueue.NfQnlCopyPacket, WriteTimeout: 50 * time.Millisecond})
	if err != nil {
		return fmt.Errorf("open queue: %w", explain(err))
	}
	defer sh.queue.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var lanes sync.WaitGroup
	for i, d := range s.Drops {
		sh.passed[i].Drop = d
		sh.lanes[i].waiting = make(chan held, laneMax)
		lanes.Go(func() { sh.release(i) })
	}
	if err := sh.queue.RegisterWithErrorFunc(ctx, sh.take, func(error) int { return 0 }); err != nil {
		return fmt.Errorf("bind queue: %w", explain(err))
	}
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open netlink: %w", explain(err))
	}
	name := shapeTable(s.Number)
	if err := addQueues(conn, name, s); err != nil {
		return errors.Join(err, removeTable(conn, name))
	}
	fmt.Fprintln(stdout, `"ready"`)
	for lines := bufio.NewScanner(stdin); lines.Scan(); {
		sh.mu.Lock()
		passed := slices.Clone(sh.passed)
		sh.mu.Unlock()
		if err := json.NewEncoder(stdout).Encode(passed); err != nil {
			break
		}
	}
	sh.mu.Lock()
	sh.over = true // what comes now passes
	sh.mu.Unlock()
	for i := range sh.lanes {
		close(sh.lanes[i].waiting)
	}
	// What waits leaves first: the kernel drops what is queued when a hook goes (nf_queue_nf_hook_drop).
	lanes.Wait()
	return removeTable(conn, name)
}

func shapeTable(number int) string { return fmt.Sprintf("%s-shape-%d", tableName, number) }

// take decides on one packet. It is called from one goroutine.
func (s *shaper) take(a nfqueue.Attribute) int {
	now := time.Now()
	if a.PacketID == nil {
		return 0
	}
	i := -1
	if a.Payload != nil && a.Hook != nil {
		i = s.find(*a.Payload, *a.Hook)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i < 0 || s.over {
		s.queue.SetVerdict(*a.PacketID, nfqueue.NfAccept)
		return 0
	}
	p, l := &s.passed[i], &s.lanes[i]
	size := len(*a.Payload)
	p.Packets++
	p.Bytes += uint64(size)
	if rand.Float64() < s.Loss || len(l.waiting) == laneMax {
		p.Lost++
		s.queue.SetVerdict(*a.PacketID, nfqueue.NfDrop)
		return 0
	}
	h := held{id: *a.PacketID, came: now, leaves: now}
	if s.Duplicate > 0 && p.Direction == out && rand.Float64() < s.Duplicate {
		p.Duplicated++
		h.copied = slices.Clone(*a.Payload)
	}
	if s.Reorder > 0 && l.held > 0 && rand.Float64() < s.Reorder {
		p.Reordered++ // it overtakes what waits
		p.Released++
		s.send(h)
		return 0
	}
	if s.Rate > 0 {
		l.free = later(l.free, now).Add(time.Duration(float64(size) / float64(s.Rate) * float64(time.Second)))
		h.leaves = l.free
	}
	wait := s.Delay
	if s.Jitter > 0 {
		wait += time.Duration((2*rand.Float64() - 1) * float64(s.Jitter))
	}
	h.leaves = later(h.leaves.Add(max(wait, 0)), l.last)
	l.last = h.leaves
	l.held++
	l.waiting <- h
	return 0
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// find says to which peer and direction a packet belongs, by its IPv4 header (RFC 791) and the hook at which it was met.
func (s *shaper) find(packet []byte, hook uint8) int {
	if len(packet) < 20 || packet[0]>>4 != 4 {
		return -1
	}
	d := Drop{Peer: netip.AddrFrom4([4]byte(packet[12:16])), Direction: in}
	if hook == unix.NF_INET_LOCAL_OUT {
		d = Drop{Peer: netip.AddrFrom4([4]byte(packet[16:20])), Direction: out}
	}
	return slices.Index(s.Drops, d)
}

// release lets one lane's packets go when it is time, and all that is left when the shape is over.
func (s *shaper) release(i int) {
	for h := range s.lanes[i].waiting {
		s.mu.Lock()
		over := s.over
		s.mu.Unlock()
		if !over {
			time.Sleep(time.Until(h.leaves))
		}
		s.mu.Lock()
		s.send(h)
		s.lanes[i].held--
		s.passed[i].Released++
		s.passed[i].Held += time.Since(h.came)
		s.mu.Unlock()
	}
}

// send needs s.mu: verdicts share one socket.
func (s *shaper) send(h held) {
	s.queue.SetVerdict(h.id, nfqueue.NfAccept)
	if h.copied != nil {
		to := &unix.SockaddrInet4{Addr: [4]byte(h.copied[16:20])}
		unix.Sendto(s.raw, h.copied, 0, to) // a copy that is not sent is a packet that was not duplicated twice
	}
}

func copySocket() (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW)
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, copyMark)
	}
	if err != nil {
		return -1, fmt.Errorf("socket for copies: %w: the side-car needs the capability NET_RAW: %w", explain(err), errUnsupported)
	}
	return fd, nil
}

// addQueues puts a rule for each peer and direction: to the queue, unless it is a copy of ours. It takes nf_tables'
// own queue statement where the kernel has it (CONFIG_NFT_QUEUE), else the target of iptables through nft_compat.
func addQueues(conn *nftables.Conn, name string, s Shape) error {
	var refused []error
	for _, queue := range []expr.Any{
		&expr.Queue{Num: uint16(s.Number), Total: 1, Flag: expr.QueueFlagBypass},
		&expr.Target{Name: "NFQUEUE", Rev: 3, Info: xtQueue(s.Number)},
	} {
		table := conn.AddTable(&nftables.Table{Name: name, Family: nftables.TableFamilyIPv4})
		chains := addChains(conn, table, *nftables.ChainPriorityFilter+1) // what is cut is not counted here
		for _, d := range s.Drops {
			rule := []expr.Any{
				&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
				&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: binary.NativeEndian.AppendUint32(nil, copyMark)},
			}
			rule = append(append(rule, address(d)...), &expr.Counter{}, queue)
			conn.AddRule(&nftables.Rule{Table: table, Chain: chains[d.Direction], Exprs: rule, UserData: []byte(d.Peer.String())})
		}
		err := conn.Flush()
		if err == nil {
			return nil
		}
		refused = append(refused, err)
	}
	return fmt.Errorf("%w: this kernel queues no packets to user space (nft_queue, or xt_NFQUEUE with nft_compat): %w",
		errUnsupported, explain(errors.Join(refused...)))
}

// xtQueue is struct xt_NFQ_info_v3: queue, number of queues, flags (bypass: without a listener packets pass).
func xtQueue(number int) xt.InfoAny {
	info := make([]byte, 8)
	binary.NativeEndian.PutUint16(info, uint16(number))
	binary.NativeEndian.PutUint16(info[2:], 1)
	binary.NativeEndian.PutUint16(info[4:], 1)
	unknown := xt.Unknown(info)
	return &unknown
}
