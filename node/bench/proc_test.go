package main

import (
	"math"
	"os"
	"testing"
)

func TestCPUOfAProcessWithABadName(t *testing.T) {
	stat := "42 (a) b (c) S 1 42 42 0 -1 4194560 9 8 7 6 150 50 3 2 20 0 9 0 77 1000 200\n"
	if cpu, err := cpuOfStat([]byte(stat)); err != nil || cpu != 2 {
		t.Errorf("%v seconds, %v", cpu, err)
	}
	if _, err := cpuOfStat([]byte("42 (a) S 1")); err == nil {
		t.Error("half a line was taken for a whole one")
	}
}

func TestFlushesAreThoseOfTheDisk(t *testing.T) {
	stats := []byte(` 254       0 vda 1 2 3 4 5 6 7 8 0 10 11 12 13 14 15 136262 80876
 254       1 vda1 1 2 3 4 5 6 7 8 0 10 11 12 13 14 15 99 17
   8       0 sda 1 2 3 4 5 6 7 8 0 10 11
`)
	if got := field(stats, " vda ", 16); got != 136262 {
		t.Error(got)
	}
	for _, missing := range []string{" sda ", " sdb "} {
		if got := field(stats, missing, 16); !math.IsNaN(got) {
			t.Errorf("%s: %v; an old kernel does not count flushes", missing, got)
		}
	}
}

func TestSamplesCountWhatWasUsed(t *testing.T) {
	pid := os.Getpid()
	before, err := takeSample([]int{pid}, "")
	if err != nil {
		t.Fatal(err)
	}
	after := before
	for after.self-before.self < 0.05 {
		if after, err = takeSample([]int{pid}, ""); err != nil {
			t.Fatal(err)
		}
	}
	// The same CPU, counted in two places; /proc in hundredths of a second.
	if d := (after.of[pid] - before.of[pid]) - (after.self - before.self); math.Abs(d) > 0.03 {
		t.Errorf("/proc and getrusage differ by %v s", d)
	}
	if after.busy <= before.busy || !math.IsNaN(after.flushes) {
		t.Errorf("%+v after %+v", after, before)
	}
}
