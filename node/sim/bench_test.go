package sim

import "testing"

func BenchmarkWholeNode(b *testing.B) {
	var messages uint64
	for seed := uint64(0); b.Loop(); seed++ {
		r, err := Run(seed%200, Options{})
		if err != nil || r.Failure != nil {
			b.Fatal(seed, err, r.Failure)
		}
		messages += r.Messages
	}
	b.ReportMetric(float64(messages)/b.Elapsed().Seconds(), "messages/s")
}
