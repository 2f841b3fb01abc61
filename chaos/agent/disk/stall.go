//go:build linux

package disk

import (
	"errors"
	"time"
)

// Stall is the moment before a power cut: from now on no fsync comes back of what is not durable; one that has nothing to
// write does, so that a program which waits for its disk goes on to its next write, and waits for that. With writeBack all
// that was written until now is durable, as it is some seconds later where a kernel writes it back by itself.
func (d *Disk) Stall(writeBack bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stalled = true
	var errs []error
	if writeBack {
		for _, n := range d.inodes {
			errs = append(errs, d.writeBack(n))
		}
		for _, s := range d.names {
			errs = append(errs, s.keep())
		}
		d.names = nil
	}
	d.wake()
	return errors.Join(errs...)
}

// Slow makes each fsync take so much longer from now on, and changes nothing else.
func (d *Disk) Slow(delay time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults.SyncDelay = delay
}

// writeBack makes a file durable as it is, but for what was in an fsync that failed.
func (d *Disk) writeBack(n *inode) error {
	st, err := stat(n.file)
	if err != nil {
		return err
	}
	for s, old := range n.syncing {
		if _, again := n.dirty[s]; !again {
			n.dirty[s] = old
		}
	}
	for s, old := range n.dirty {
		if !old.doomed {
			delete(n.dirty, s)
			d.counters.WrittenBack++
		}
	}
	clear(n.syncing)
	n.size, n.sizeBefore, n.cut, n.cutBefore = st.Size, st.Size, false, false
	return nil
}
