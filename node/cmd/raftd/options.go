package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"raftlab/node/internal/api"
)

// options is the command line of serve.
type options struct {
	host      string
	port      int
	listen    string // host:port
	advertise string // host:port at which other members reach this one
	data      string
	snapshot  string // below which data is, unless that is given
	join      string
	joins     []string // the same, apart
	bootstrap bool
	pprof     string

	heartbeat, election, tick time.Duration
	joinTimeout               time.Duration

	snapshotEntries int
	snapshotBytes   int
	tailEntries     int

	token, tokenFile       string
	tlsCert, tlsKey, tlsCA string

	lab       bool
	notLeader string
	peerProxy string
	logFormat string
	logLevel  slog.Level
}

const usage = `raftd runs one member of a cluster.

  raftd --host 127.0.0.1 --port 8000                        start a cluster of one
  raftd --host 127.0.0.1 --port 8001 --join 127.0.0.1:8000  join it
  raftd serve ...                                           the same: serve is what raftd does
  raftd health [--ready] [--url URL]                        ask a member how it is
  raftd wal dump|verify DIR                                 read a data directory
  raftd version

`

// parse parses flags quietly: --help prints the usage, anything wrong is a usageError in one sentence.
func parse(flags *flag.FlagSet, args []string, stdout io.Writer) error {
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		flags.SetOutput(stdout)
		flags.PrintDefaults()
		return err
	case err != nil:
		return usageError{errors.New(plain(flags, err.Error()))}
	case flags.NArg() > 0:
		return usageError{fmt.Errorf("unexpected argument %q", flags.Arg(0))}
	}
	return nil
}

var badValue = regexp.MustCompile(`^invalid (?:boolean )?value ("(?:[^"\\]|\\.)*") for (?:flag )?-([^:]+): `)

// plain turns the flag package's words into ours, and says what a value must be.
func plain(flags *flag.FlagSet, s string) string {
	if m := badValue.FindStringSubmatch(s); m != nil {
		f := flags.Lookup(m[2])
		_, rule := flag.UnquoteUsage(f)
		if value, ok := f.Value.(flag.Getter); ok {
			switch value.Get().(type) {
			case time.Duration:
				rule = "must be a duration such as 500ms or 2s"
			case int:
				rule = "must be a whole number"
			case bool:
				rule = "must be true or false"
			}
		}
		return fmt.Sprintf("invalid value %s for --%s: %s", m[1], m[2], rule)
	}
	s = strings.Replace(s, "flag provided but not defined: -", "flag not known: --", 1)
	return strings.Replace(s, "flag needs an argument: -", "a value is missing after --", 1)
}

func parseOptions(args []string, stdout io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("raftd", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.host, "host", "127.0.0.1", "`address` to listen on and to be reached at")
	flags.IntVar(&o.port, "port", 8000, "`port` to listen on and to be reached at")
	flags.StringVar(&o.listen, "listen", "", "`host:port` to listen on, where it differs from --host and --port")
	flags.StringVar(&o.advertise, "advertise", "", "`host:port` at which other members reach this one, where it differs")
	flags.StringVar(&o.data, "data", "", "`directory` of this member's log (default raftd-data/HOST-PORT)")
	flags.StringVar(&o.snapshot, "snapshot", "", "`directory` below which raftd-data/HOST-PORT is made: PyRaft's flag for where a member keeps what it has; not with --data")
	flags.StringVar(&o.join, "join", "", "`host:port` of a member of the cluster to join, or several with commas; without it, and without data, a new cluster starts")
	flags.BoolVar(&o.bootstrap, "bootstrap", false, "start a new cluster if nobody at --join belongs to one: for the member that starts the cluster, so that losing its disk does not start a second one")
	flags.StringVar(&o.pprof, "pprof", "", "`host:port` on loopback that serves profiles of this process")
	flags.DurationVar(&o.joinTimeout, "join-timeout", 30*time.Second, "how long to try to join, before a leader is heard")
	flags.DurationVar(&o.heartbeat, "heartbeat", 50*time.Millisecond, "time between a leader's heartbeats")
	flags.DurationVar(&o.election, "election", 500*time.Millisecond, "least silence of the leader before an election")
	flags.IntVar(&o.snapshotEntries, "snapshot-entries", 100_000, "take a snapshot every so many `entries`; 0: never by their number")
	flags.IntVar(&o.snapshotBytes, "snapshot-bytes", 256<<20, "take a snapshot every so many `bytes` of commands too, because a restart reads them all; 0: never by their size")
	flags.IntVar(&o.tailEntries, "tail-entries", 0, "`entries` that stay in the log before a snapshot, for slow followers (default a tenth of --snapshot-entries, at least 10)")
	flags.StringVar(&o.tokenFile, "token-file", "", "`file` with the token that clients and members must show as Authorization: Bearer")
	flags.StringVar(&o.token, "token", "", "the `token` itself; others on this machine can see it, so prefer --token-file or RAFTD_TOKEN")
	flags.StringVar(&o.tlsCert, "tls-cert", "", "PEM `file` with this member's certificate: speak TLS")
	flags.StringVar(&o.tlsKey, "tls-key", "", "PEM `file` with its key")
	flags.StringVar(&o.tlsCA, "tls-ca", "", "PEM `file` with the CA of all members: they must show each other certificates")
	flags.StringVar(&o.notLeader, "not-leader", "forward", "what a follower does with a write: `forward` or redirect")
	flags.BoolVar(&o.lab, "lab", false, "let whoever may ask this member bend its clock, under /__pyraft/lab; for tests, never for data that you need")
	flags.StringVar(&o.peerProxy, "peer-proxy", "", "`host:port` of an HTTP CONNECT proxy for connections to other members")
	flags.StringVar(&o.logFormat, "log", "text", "`format` of the log: text or json")
	flags.TextVar(&o.logLevel, "log-level", slog.LevelInfo, "least `level` that is logged: debug, info, warn or error")
	if err := parse(flags, args, stdout); err != nil {
		return o, err
	}
	if name := empty(flags); name != "" {
		return o, misused("--%s is empty: give it a value, or leave it out", name)
	}
	return o, o.validate()
}

// empty is the first flag that was given without a value: --token "$TOKEN" of a script whose variable is not set must not start a
// member that whoever may ask.
func empty(flags *flag.FlagSet) (name string) {
	flags.Visit(func(f *flag.Flag) {
		if f.Value.String() == "" && name == "" {
			name = f.Name
		}
	})
	return name
}

// validate completes the options and names the first that cannot be used.
func (o *options) validate() error {
	if err := o.addresses(); err != nil {
		return err
	}
	if o.snapshotEntries < 0 || o.snapshotBytes < 0 || o.tailEntries < 0 {
		return misused("--snapshot-entries %d, --snapshot-bytes %d and --tail-entries %d must not be negative", o.snapshotEntries, o.snapshotBytes, o.tailEntries)
	}
	if o.tailEntries == 0 {
		o.tailEntries = max(o.snapshotEntries/10, 10)
	}
	if err := o.secrets(); err != nil {
		return usageError{err}
	}
	if o.notLeader != "forward" && o.notLeader != "redirect" {
		return misused("--not-leader %q must be forward or redirect", o.notLeader)
	}
	if o.logFormat != "text" && o.logFormat != "json" {
		return misused("--log %q must be text or json", o.logFormat)
	}
	// Ten ticks to a heartbeat would be as good; five keep the loop idle more.
	o.tick = o.heartbeat / 5
	if o.tick < time.Millisecond {
		return misused("--heartbeat %v must be at least 5ms", o.heartbeat)
	}
	if o.joinTimeout <= 0 {
		return misused("--join-timeout %v must be above zero", o.joinTimeout)
	}
	if o.election < 3*o.heartbeat {
		return misused("--election %v must be at least three times --heartbeat %v, or one lost heartbeat deposes a leader", o.election, o.heartbeat)
	}
	if o.data != "" && o.snapshot != "" {
		return misused("--data and --snapshot exclude each other: both say where this member's log is")
	}
	if o.data == "" {
		o.data = filepath.Join(o.snapshot, "raftd-data", strings.NewReplacer(":", "-", "[", "", "]", "").Replace(o.advertise))
	}
	return nil
}

// misused is an error of the command line.
func misused(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// addresses fills in those that were left out, and looks at all.
func (o *options) addresses() error {
	if o.port < 1 || o.port > 65535 {
		return misused("--port %d must be from 1 to 65535", o.port)
	}
	if o.listen == "" {
		o.listen = net.JoinHostPort(o.host, strconv.Itoa(o.port))
	}
	if _, _, err := net.SplitHostPort(o.listen); err != nil {
		return misused("--listen %q must be host:port", o.listen)
	}
	if o.advertise == "" {
		o.advertise = o.listen
	}
	host, port, err := net.SplitHostPort(o.advertise)
	if err != nil || port == "" {
		return misused("--advertise %q must be host:port", o.advertise)
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		return misused("no one can dial %s; say with --advertise host:port where other members reach this one", o.advertise)
	}
	if _, err := api.Address(o.advertise); err != nil {
		return misused("--advertise %q cannot be dialled by other members: %v", o.advertise, err)
	}
	if o.join != "" {
		o.joins = strings.Split(o.join, ",")
	}
	for _, join := range o.joins {
		if _, err := api.Address(join); err != nil {
			return misused("--join %q must be host:port of a member: %v", join, err)
		}
		if join == o.advertise {
			return misused("--join %s is this member's own address; leave it out, and --join too to start a new cluster", join)
		}
	}
	if o.bootstrap && o.join == "" {
		return misused("--bootstrap needs --join: whom to ask whether there is a cluster already")
	}
	if host, _, err := net.SplitHostPort(o.pprof); o.pprof != "" {
		if ip, e := netip.ParseAddr(host); err != nil || host != "localhost" && (e != nil || !ip.IsLoopback()) {
			return misused("--pprof %q must be host:port on loopback", o.pprof)
		}
	}
	if _, err := api.Address(o.peerProxy); o.peerProxy != "" && err != nil {
		return misused("--peer-proxy %q must be host:port: %v", o.peerProxy, err)
	}
	return nil
}

// secrets reads the token and checks that the files of TLS come together.
func (o *options) secrets() error {
	given := 0
	for _, s := range []string{o.token, o.tokenFile} {
		if s != "" {
			given++
		}
	}
	switch {
	case given > 1:
		return errors.New("--token and --token-file exclude each other")
	case o.tokenFile != "":
		b, err := os.ReadFile(o.tokenFile)
		if err != nil {
			return fmt.Errorf("--token-file: %w", err)
		}
		if o.token = strings.TrimSpace(string(b)); o.token == "" {
			return fmt.Errorf("--token-file %s is empty", o.tokenFile)
		}
	case o.token == "":
		o.token = os.Getenv("RAFTD_TOKEN")
	}
	for _, c := range o.token {
		if c <= ' ' || c > '~' {
			return errors.New("the token must be of visible ASCII characters, without spaces: it travels in a header")
		}
	}
	if (o.tlsCert == "") != (o.tlsKey == "") || o.tlsCA != "" && o.tlsCert == "" {
		return errors.New("TLS needs --tls-cert and --tls-key together, and --tls-ca only with them")
	}
	return nil
}

func (o *options) logger(w io.Writer) *slog.Logger {
	h := &slog.HandlerOptions{Level: o.logLevel}
	if o.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, h))
	}
	return slog.New(slog.NewTextHandler(w, h))
}
