package raftkv

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"raftlab/harness"
)

// clockPath is there because every member is started with --lab.
const clockPath = "/__pyraft/lab/clock"

// ReadClock is GET /__pyraft/lab/clock.
func (s *System) ReadClock(ctx context.Context, endpoint string) (harness.ClockReading, error) {
	sent := time.Now()
	body, err := s.get(ctx, endpoint, clockPath)
	half := time.Since(sent) / 2
	if err != nil {
		return harness.ClockReading{}, err
	}
	var reply struct {
		Now         time.Time `json:"now"`
		Ticks       uint64    `json:"ticks"`
		TickEveryMs float64   `json:"tick_every_ms"`
	}
	if err := json.Unmarshal(body, &reply); err != nil {
		return harness.ClockReading{}, fmt.Errorf("raftkv: clock: %w", err)
	}
	return harness.ClockReading{Reads: reply.Now, At: sent.Add(half), Give: half, Ticks: reply.Ticks,
		TickEvery: time.Duration(reply.TickEveryMs * float64(time.Millisecond))}, nil
}

// BendClock is POST /__pyraft/lab/clock.
func (s *System) BendClock(ctx context.Context, endpoint string, bend harness.Bend) error {
	query := url.Values{}
	for name, d := range map[string]time.Duration{"jump": bend.Jump, "offset": bend.Offset} {
		if d != 0 {
			query.Set(name, d.String())
		}
	}
	if bend.Rate != 0 {
		query.Set("rate", strconv.FormatFloat(bend.Rate, 'f', -1, 64))
	}
	_, err := s.call(ctx, http.MethodPost, endpoint, clockPath+"?"+query.Encode())
	return err
}

// StraightenClock is DELETE /__pyraft/lab/clock.
func (s *System) StraightenClock(ctx context.Context, endpoint string) error {
	_, err := s.call(ctx, http.MethodDelete, endpoint, clockPath)
	return err
}
