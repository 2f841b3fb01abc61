package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"raftlab/node/internal/vfs"
	"raftlab/raft"
)

// syncEvery bounds how much of a snapshot waits to be written back: the fsync of a log entry must not
// wait behind gigabytes.
const syncEvery = 8 << 20

// Writer takes the state of one snapshot, in order. It is owned by one goroutine. End it with Commit
// or Abort; Abort after Commit does nothing.
type Writer struct {
	st       *Store
	snapshot raft.Snapshot
	temp     string
	file     vfs.File
	at       int64 // written up to here
	synced   int64
	chunk    []byte // head and data of the next chunk
	crc      uint32
	chunks   uint64
	bytes    uint64
	err      error // the first failure, or ErrClosed
}

// Create begins a snapshot. ErrOlder: there is a newer one.
func (st *Store) Create(s raft.Snapshot) (*Writer, error) {
	header, err := appendHeader(nil, s)
	if err != nil {
		return nil, err
	}
	w, err := st.create(s)
	if err != nil {
		return nil, err
	}
	w.crc = binary.BigEndian.Uint32(header[len(header)-4:])
	w.chunk = make([]byte, chunkHead, 4<<10) // grows to chunkHead+maxChunk if the snapshot is so large
	if err := w.put(header); err != nil {
		w.Abort()
		return nil, err
	}
	return w, nil
}

// create makes the temporary file. Its name is used once in the life of a Store.
func (st *Store) create(s raft.Snapshot) (*Writer, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := st.stale(s); err != nil {
		return nil, err
	}
	st.created++
	w := &Writer{st: st, snapshot: s, temp: fmt.Sprintf("%d-%s%s", st.created, name(s), tempSuffix)}
	var err error
	if w.file, err = st.fs.Create(filepath.Join(st.dir, w.temp)); err != nil {
		return nil, fmt.Errorf("snapshot: create: %w", err)
	}
	return w, nil
}

// put writes bytes of the file as they are.
func (w *Writer) put(b []byte) error {
	if w.err != nil {
		return w.err
	}
	if _, err := w.file.WriteAt(b, w.at); err != nil {
		w.err = fmt.Errorf("snapshot: write %s: %w", w.temp, err)
		return w.err
	}
	if w.at += int64(len(b)); w.at-w.synced >= syncEvery {
		return w.sync()
	}
	return nil
}

func (w *Writer) sync() error {
	if err := w.file.Sync(); err != nil {
		w.err = fmt.Errorf("snapshot: sync %s: %w", w.temp, err)
		return w.err
	}
	w.synced = w.at
	return nil
}

// Write implements io.Writer. Nothing is durable before Commit.
func (w *Writer) Write(b []byte) (int, error) {
	total := len(b)
	for len(b) > 0 {
		if w.err != nil {
			return total - len(b), w.err
		}
		n := min(len(b), chunkHead+maxChunk-len(w.chunk))
		w.chunk = append(w.chunk, b[:n]...)
		b = b[n:]
		if len(w.chunk) == chunkHead+maxChunk {
			if err := w.flush(); err != nil {
				return total - len(b), err
			}
		}
	}
	return total, nil
}

func (w *Writer) flush() error {
	data := w.chunk[chunkHead:]
	if len(data) == 0 {
		return w.err
	}
	binary.BigEndian.PutUint32(w.chunk, uint32(len(data)))
	w.crc = chunkSum(w.crc, w.chunk[:4], data)
	binary.BigEndian.PutUint32(w.chunk[4:], w.crc)
	w.chunks++
	w.bytes += uint64(len(data))
	err := w.put(w.chunk)
	w.chunk = w.chunk[:chunkHead]
	return err
}

// Commit makes the snapshot durable and the latest. After an error it is not the latest, though the
// next Open may find it; then it is whole.
func (w *Writer) Commit() error {
	if err := w.flush(); err != nil {
		w.Abort()
		return err
	}
	if err := w.put(appendFooter(nil, w.crc, w.chunks, w.bytes)); err != nil {
		w.Abort()
		return err
	}
	return w.finish()
}

func (w *Writer) finish() error {
	if err := w.sync(); err != nil {
		w.Abort()
		return err
	}
	err := w.file.Close()
	w.file, w.err = nil, ErrClosed
	if err == nil {
		err = w.st.publish(w.temp, w.snapshot)
	}
	if err != nil {
		// It has its name already if only the directory's fsync failed, and then this removes nothing.
		_ = w.st.fs.Remove(filepath.Join(w.st.dir, w.temp))
		return err
	}
	return nil
}

// Abort gives the snapshot up. What cannot be removed now, the next Open removes.
func (w *Writer) Abort() {
	if w.file == nil {
		return
	}
	_ = w.file.Close()
	_ = w.st.fs.Remove(filepath.Join(w.st.dir, w.temp))
	w.file, w.err = nil, ErrClosed
}

// Receive stores the bytes of another member's Raw as they come, in bounded memory. It returns nil when
// the snapshot is durable and the latest. If the bytes are damaged, short, or those of another snapshot
// than want, nothing is kept; nor if check, where it is not nil, does not like the state that it reads. What check does
// not read is vouched for by its checksums.
func (st *Store) Receive(r io.Reader, want raft.Snapshot, check func(state io.Reader) error) error {
	w, err := st.create(want)
	if err != nil {
		return err
	}
	defer w.Abort()
	d := decoder{r: r}
	if err := d.header(); err != nil {
		return received(err)
	}
	if !same(d.snapshot, want) {
		return fmt.Errorf("%w: the stream is the snapshot up to entry %d of term %d, configuration %d, not up to entry %d of term %d, configuration %d",
			ErrDamaged, d.snapshot.Index, d.snapshot.Term, d.snapshot.ConfigurationIndex, want.Index, want.Term, want.ConfigurationIndex)
	}
	for {
		if err := w.put(d.raw); err != nil {
			return err
		}
		_, err := d.chunk()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return received(err)
		}
	}
	if err := w.put(d.raw); err != nil { // the footer
		return err
	}
	if check != nil {
		if err := w.check(check); err != nil {
			return fmt.Errorf("snapshot: received whole, but of no use: %w; nothing was kept", err)
		}
	}
	return w.finish()
}

// check reads the state again, from the file that has no name yet.
func (w *Writer) check(check func(io.Reader) error) error {
	r := &reader{d: decoder{r: io.NewSectionReader(w.file, 0, w.at)}, explain: func(err error) error { return err }}
	if err := r.d.header(); err != nil {
		return err
	}
	return check(r)
}

// received says what was wrong with a stream: its bytes, or the reading of them.
func received(err error) error {
	var d *damage
	if errors.As(err, &d) && d.err == nil {
		return fmt.Errorf("%w: stream %w; nothing was kept", ErrDamaged, err)
	}
	return fmt.Errorf("snapshot: receive: stream %w; nothing was kept", err)
}
