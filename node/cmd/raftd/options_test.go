package main

import (
	"io"
	"testing"
)

// The seed's command lines name a directory for all members of a machine; each has its own below it.
func TestDataIsBelowTheDirectoryOfTheSeedsFlag(t *testing.T) {
	for want, args := range map[string][]string{
		"raftd-data/127.0.0.1-8000":      nil,
		"kept/raftd-data/127.0.0.1-8001": {"--host", "127.0.0.1", "--port", "8001", "--join", "127.0.0.1:8000", "--snapshot", "./kept/"},
		"raftd-data/localhost-8000":      {"--host", "localhost", "--snapshot", "./"},
		"mine":                           {"--data", "mine"},
	} {
		o, err := parseOptions(args, io.Discard)
		if err != nil || o.data != want {
			t.Errorf("%v: %q (%v), want %q", args, o.data, err, want)
		}
	}
}
