package main

import (
	"math"
	"slices"
	"time"
)

// percentile is the smallest of the sorted durations that at least p percent of them do not exceed (nearest
// rank: always one that was measured). It is 0 of none.
func percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// spread is what a handful of repetitions came to. NaN stands for nothing measured.
type spread struct{ median, min, max float64 }

// spreadOf leaves out what is not a number; of an even count the median is the mean of the middle two.
func spreadOf(values []float64) spread {
	v := slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	if len(v) == 0 {
		return spread{math.NaN(), math.NaN(), math.NaN()}
	}
	slices.Sort(v)
	n := len(v)
	return spread{median: (v[(n-1)/2] + v[n/2]) / 2, min: v[0], max: v[n-1]}
}

// ratios divides pair by pair: the i-th of a and of b were measured next to each other, so that what slowed the
// machine then slowed both. The median of ratios is not the ratio of medians, and drifts less.
func ratios(a, b []float64) []float64 {
	r := make([]float64, min(len(a), len(b)))
	for i := range r {
		if r[i] = math.NaN(); a[i] > 0 && b[i] > 0 {
			r[i] = a[i] / b[i]
		}
	}
	return r
}
