package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ticksPerSecond is the unit of /proc/PID/stat and /proc/stat. Linux reports 100 to user space on every
// architecture that Go runs on, whatever the kernel's own clock.
const ticksPerSecond = 100

// sample is what the kernel has counted so far, in seconds and in flushes.
type sample struct {
	at      time.Time
	self    float64         // CPU of this process
	of      map[int]float64 // CPU of others, by process id
	busy    float64         // CPU of everything on this machine
	flushes float64         // write-cache flushes that the disk has done; NaN if it does not say
	written float64         // bytes written to the disk; NaN if it does not say
}

func takeSample(pids []int, disk string) (sample, error) {
	s := sample{at: time.Now(), of: make(map[int]float64), flushes: math.NaN(), written: math.NaN()}
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return s, err
	}
	s.self = float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return s, err
		}
		if s.of[pid], err = cpuOfStat(stat); err != nil {
			return s, err
		}
	}
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return s, err
	}
	// user nice system idle iowait irq softirq steal
	for _, column := range []int{1, 2, 3, 6, 7, 8} {
		s.busy += field(stat, "cpu ", column) / ticksPerSecond
	}
	if disks, err := os.ReadFile("/proc/diskstats"); err == nil && disk != "" {
		s.flushes = field(disks, " "+disk+" ", 16)
		// Not write_bytes of /proc/PID/io: on ext4 of Linux 6.18 it counted 3 MB (whole folios, it seems) for a write
		// to three logs of which 26 KB reached the disk. A sector here is always 512 bytes.
		s.written = 512 * field(disks, " "+disk+" ", 7)
	}
	return s, nil
}

// cpuOfStat reads utime and stime of /proc/PID/stat. The name before them may hold spaces and parentheses.
func cpuOfStat(stat []byte) (float64, error) {
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return 0, errors.New("bench: /proc/PID/stat is not as proc(5) says")
	}
	user, err1 := strconv.ParseFloat(fields[11], 64)
	system, err2 := strconv.ParseFloat(fields[12], 64)
	return (user + system) / ticksPerSecond, errors.Join(err1, err2)
}

// field is the n-th word, from 1, after name in the line that holds it. NaN if there is none.
func field(text []byte, name string, n int) float64 {
	_, rest, ok := strings.Cut(string(text), name)
	line, _, _ := strings.Cut(rest, "\n")
	words := strings.Fields(line)
	if !ok || len(words) < n {
		return math.NaN()
	}
	v, err := strconv.ParseFloat(words[n-1], 64)
	if err != nil {
		return math.NaN()
	}
	return v
}

// diskOf names the disk in /proc/diskstats that holds the directory, or nothing if there is none, as under
// overlayfs. Flushes are counted on the whole disk, not on a partition.
func diskOf(dir string) string {
	var stat unix.Stat_t
	if unix.Stat(dir, &stat) != nil {
		return ""
	}
	path, err := filepath.EvalSymlinks(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(stat.Dev), unix.Minor(stat.Dev)))
	if err != nil {
		return ""
	}
	if _, err := os.Stat(filepath.Join(path, "partition")); err == nil {
		path = filepath.Dir(path)
	}
	return filepath.Base(path)
}

// inMemory says whether the directory is on a file system without a disk, where fsync does nothing.
func inMemory(dir string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(dir, &fs) == nil && (int64(fs.Type) == unix.TMPFS_MAGIC || int64(fs.Type) == unix.RAMFS_MAGIC)
}

// syncRate appends 300 bytes to a file and waits for the disk, again and again: how often in a second.
func syncRate(dir string, d time.Duration) (float64, error) {
	f, err := os.CreateTemp(dir, "sync-")
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	record, start, n := make([]byte, 300), time.Now(), 0
	for ; time.Since(start) < d; n++ {
		if _, err := f.Write(record); err != nil {
			return 0, err
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return 0, err
		}
	}
	return float64(n) / time.Since(start).Seconds(), nil
}

// useCores keeps this thread, and every process that it starts, on the first n of the cores that it may use.
func useCores(n int) (int, error) {
	var may, use unix.CPUSet
	if err := unix.SchedGetaffinity(0, &may); err != nil {
		return 0, err
	}
	for cpu := 0; use.Count() < min(n, may.Count()); cpu++ {
		if may.IsSet(cpu) {
			use.Set(cpu)
		}
	}
	return use.Count(), unix.SchedSetaffinity(0, &use)
}
