package main

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPercentileIsOneThatWasMeasured(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for _, c := range []struct {
		sorted []time.Duration
		p      float64
		want   time.Duration
	}{
		{nil, 50, 0},
		{hundred[:1], 50, 1}, {hundred[:1], 99, 1}, {hundred[:1], 0, 1},
		{hundred[:2], 50, 1}, {hundred[:2], 51, 2},
		{hundred[:3], 50, 2},
		{hundred, 50, 50}, {hundred, 99, 99}, {hundred, 99.5, 100}, {hundred, 100, 100},
		{hundred[:10], 99, 10},
	} {
		if got := percentile(c.sorted, c.p); got != c.want {
			t.Errorf("percentile %v of %d is %v, and should be %v", c.p, len(c.sorted), got, c.want)
		}
	}
}

func TestSpreadLeavesOutWhatWasNotMeasured(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		values []float64
		want   spread
	}{
		{[]float64{3}, spread{3, 3, 3}},
		{[]float64{9, 1, 4}, spread{4, 1, 9}},
		{[]float64{9, 1, 4, 6}, spread{5, 1, 9}},
		{[]float64{nan, 2, nan, 1, 3}, spread{2, 1, 3}},
	} {
		given := slices.Clone(c.values)
		if got := spreadOf(given); got != c.want {
			t.Errorf("%v: %v, and should be %v", c.values, got, c.want)
		}
		if !slices.EqualFunc(given, c.values, func(a, b float64) bool { return a == b || a != a && b != b }) {
			t.Errorf("%v was changed to %v", c.values, given)
		}
	}
	if s := spreadOf([]float64{nan}); !math.IsNaN(s.median) || !math.IsNaN(s.min) || !math.IsNaN(s.max) {
		t.Errorf("of nothing: %v", s)
	}
}

// The machine slows down tenfold in the middle. Neighbours still compare: twice, three times, twice.
func TestRatiosArePairByPair(t *testing.T) {
	nan := math.NaN()
	a, b := []float64{200, 30, 240}, []float64{100, 10, 120}
	if s := spreadOf(ratios(a, b)); s != (spread{2, 2, 3}) {
		t.Errorf("%v", s)
	}
	got := ratios([]float64{1, nan, 4, 0, 5}, []float64{nan, 1, 2, 1, 0})
	for i, r := range got {
		if i == 2 && r != 2 || i != 2 && !math.IsNaN(r) {
			t.Errorf("pair %d: %v in %v", i, r, got)
		}
	}
}

func TestWhatIsAskedIsHeldAgainstTheMedian(t *testing.T) {
	medians := map[string]float64{speakEtcdHTTP: 2, speakEtcdGRPC: 0.9, speakBare: 0.1}
	if got := strings.Join(judge(opPut, 16, medians), ", "); got != "HTTP at least 2.0: yes, aim 3.5: no, gRPC 1.0: no" {
		t.Error(got)
	}
	if got := strings.Join(judge(opGet, 7, medians), ", "); got != "gRPC 1.0: no" {
		t.Errorf("nothing is asked over HTTP with 7 connections: %s", got)
	}
}
