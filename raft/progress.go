package raft

// progress is what a leader knows of another member (Figure 2: nextIndex and matchIndex), and how fast it
// may send.
//
// In snapshot it waits until the state that it lacks has arrived. In probe the leader does not know where the logs meet: one append is in flight, and heartbeats repeat it.
// In replicate it sends ahead of the answers, within bounds. A refusal or silence leads back to probe.
type progress struct {
	match Index // greatest index known to be the same on both; never falls in a term
	next  Index // the next entry to send; next > match

	snapshot    Index // of the one under way; zero if none is
	replicating bool
	probeSent   bool // probe: an append is in flight
	inflight    []inflightAppend
	inflightLen int // bytes
	// window bounds the appends in flight after a refusal, zero for no such bound: one, and twice as many after each
	// acknowledgement. To send all ahead again at once is to have all refused again where messages overtake each other.
	window int

	told   Index  // the commit index that it was last told of
	active bool   // heard of since the last check-quorum
	round  uint64 // the greatest round of reads that it has confirmed
}

// windowMax: a follower that acknowledged so many in a row has recovered.
const windowMax = 256

// inflightAppend is an append with entries that is not yet acknowledged.
type inflightAppend struct {
	last  Index
	bytes int
}

func (p *progress) probe(next Index) {
	p.replicating, p.probeSent, p.snapshot = false, false, 0
	p.inflight, p.inflightLen = nil, 0
	p.next = max(next, p.match+1)
}

func (p *progress) sendingSnapshot(index Index) {
	p.probe(index + 1)
	p.snapshot = index
}

func (p *progress) replicate() {
	p.replicating, p.probeSent, p.snapshot = true, false, 0
	p.next = max(p.next, p.match+1)
}

func (p *progress) sent(entries []Entry) {
	if len(entries) == 0 {
		return
	}
	last, size := entries[len(entries)-1].Index, 0
	for i := range entries {
		size += len(entries[i].Data)
	}
	p.next = last + 1
	p.inflight = append(p.inflight, inflightAppend{last, size})
	p.inflightLen += size
}

// acknowledged records that the logs are the same up to index.
func (p *progress) acknowledged(index Index) {
	p.match = max(p.match, index)
	p.next = max(p.next, p.match+1)
	freed := 0
	for freed < len(p.inflight) && p.inflight[freed].last <= index {
		p.inflightLen -= p.inflight[freed].bytes
		freed++
	}
	p.inflight = p.inflight[freed:]
	if freed > 0 {
		if p.window *= 2; p.window > windowMax {
			p.window = 0
		}
	}
}

func (p *progress) full(c *Config) bool {
	return len(p.inflight) >= c.MaxInflightAppends || p.window > 0 && len(p.inflight) >= p.window || p.inflightLen >= c.MaxInflightBytes
}

func (p *progress) state() string {
	switch {
	case p.snapshot != 0:
		return "snapshot"
	case p.replicating:
		return "replicate"
	}
	return "probe"
}
