// Command raftd is one member of a raftlab cluster: a replicated key-value store behind one port.
//
//	raftd --host 127.0.0.1 --port 8000                               start a cluster of one
//	raftd --host 127.0.0.1 --port 8001 --join 127.0.0.1:8000         join it
//	raftd --listen :8000 --advertise n2:8000 --data /data --join n1:8000
//	raftd wal dump|verify DIR                                        read a data directory
//	raftd health [--ready] [--url http://127.0.0.1:8000]             for a container's health check
//	raftd version
//
// It ends with 0 after SIGTERM or SIGINT, 1 when it cannot go on, and 64 when the command line is wrong.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"raftlab/node/internal/vfs"
	"raftlab/node/internal/wal"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 64
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is main with its surroundings passed in. Whatever goes wrong ends in one sentence on stderr.
func run(args []string, stdout, stderr io.Writer) int {
	command := "serve"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		command, args = args[0], args[1:]
	} else if len(args) > 0 && (args[0] == "--version" || args[0] == "-version") {
		command, args = "version", args[1:]
	}
	var err error
	switch command {
	case "serve":
		err = serve(args, stdout, stderr)
	case "health":
		err = health(args, stdout)
	case "version":
		if len(args) > 0 {
			err = usageError{fmt.Errorf("unexpected argument %q", args[0])}
			break
		}
		fmt.Fprintln(stdout, version())
	case "wal":
		err = inspectLog(args, stdout)
	case "help":
		err = serve([]string{"--help"}, stdout, stderr)
	default:
		err = usageError{fmt.Errorf("unknown command %q; the commands are serve, health, wal and version", command)}
	}
	var usage usageError
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "raftd: %v; see raftd --help\n", err)
		return exitUsage
	}
	fmt.Fprintf(stderr, "raftd: %v\n", err)
	return exitFailure
}

// usageError is a mistake on the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func serve(args []string, stdout, stderr io.Writer) error {
	o, err := parseOptions(args, stdout)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return runMember(ctx, o, o.logger(stderr))
}

// inspectLog reads a member's log without changing it.
func inspectLog(args []string, stdout io.Writer) error {
	if len(args) == 1 && (args[0] == "--help" || args[0] == "-h") {
		return serve(args, stdout, stdout)
	}
	if len(args) != 2 || args[0] != "dump" && args[0] != "verify" {
		return usageError{errors.New("say raftd wal dump DIR, which prints every record, or raftd wal verify DIR, which says whether all of it can be read")}
	}
	if args[0] == "dump" {
		return wal.Dump(vfs.OS{}, args[1], stdout)
	}
	return wal.Verify(vfs.OS{}, args[1], stdout)
}

// health asks the member on this machine whether it is alive: a scratch image has no curl.
func health(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("raftd health", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	ready := flags.Bool("ready", false, "ask whether it can serve now, not only whether it runs")
	url := flags.String("url", "http://127.0.0.1:8000", "`address` of the member")
	timeout := flags.Duration("timeout", 2*time.Second, "how long to wait for the answer")
	ca := flags.String("tls-ca", "", "PEM `file` with the CA of the member, where --url is https")
	if err := parse(flags, args, stdout); err != nil {
		return err
	}
	if *timeout <= 0 {
		return usageError{fmt.Errorf("--timeout %v must be above zero", *timeout)}
	}
	if !strings.Contains(*url, "://") {
		*url = "http://" + *url
	}
	path := "/livez"
	if *ready {
		path = "/readyz"
	}
	client := &http.Client{Timeout: *timeout}
	if *ca != "" {
		pem, err := os.ReadFile(*ca)
		if err != nil {
			return fmt.Errorf("health: --tls-ca: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return usageError{fmt.Errorf("--tls-ca %s holds no certificate in PEM", *ca)}
		}
		client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	}
	reply, err := client.Get(strings.TrimSuffix(*url, "/") + path)
	if err != nil {
		return fmt.Errorf("health: %w", err)
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(io.LimitReader(reply.Body, 4096))
	if err != nil {
		return fmt.Errorf("health: %w", err)
	}
	if reply.StatusCode != http.StatusOK {
		return fmt.Errorf("health: %s answered %d: %s", path, reply.StatusCode, strings.Join(strings.Fields(string(body)), " "))
	}
	fmt.Fprintln(stdout, "ok")
	return nil
}

// version is the version control revision that the binary was built from, where Go recorded it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "raftd (unknown build)"
	}
	revision, dirty := "unversioned", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+changes"
		}
	}
	return fmt.Sprintf("raftd %s%s %s", revision, dirty, info.GoVersion)
}
