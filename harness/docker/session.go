package docker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"

	"raftlab/harness"
)

// session is a command of the agent that runs in a container and answers each line of its standard input with a line of JSON.
// It ends when that input does, also where the lab is gone.
type session struct {
	attached client.HijackedResponse
	lines    *bufio.Scanner
	stderr   *strings.Builder
	done     chan struct{} // the stream has ended
}

// converse starts one and returns when it is ready to be asked.
func (e *engine) converse(ctx context.Context, container, path string, args ...string) (*session, error) {
	created, err := e.api.ExecCreate(ctx, container, client.ExecCreateOptions{
		User: "0:0", AttachStdin: true, AttachStdout: true, AttachStderr: true, Cmd: append([]string{path}, args...),
	})
	if err != nil {
		return nil, err
	}
	attached, err := e.api.ExecAttach(ctx, created.ID, client.ExecAttachOptions{})
	if err != nil {
		return nil, err
	}
	stdout, write := io.Pipe()
	s := &session{attached: attached.HijackedResponse, lines: bufio.NewScanner(stdout), stderr: &strings.Builder{}, done: make(chan struct{})}
	go func() { // it ends with the stream, which end and Close do
		defer close(s.done)
		_, err := stdcopy.StdCopy(write, s.stderr, attached.Reader)
		write.CloseWithError(errors.Join(err, io.EOF))
	}()
	ready, err := s.line(ctx)
	if err == nil && ready == `"ready"` {
		return s, nil
	}
	s.attached.Close()
	stdout.Close()
	<-s.done
	said := strings.TrimSpace(s.stderr.String())
	if inspected, failed := e.api.ExecInspect(context.WithoutCancel(ctx), created.ID, client.ExecInspectOptions{}); failed == nil && inspected.ExitCode == agentUnsupported {
		return nil, fmt.Errorf("%w: %s", harness.ErrUnsupported, said)
	}
	return nil, fmt.Errorf("agent %s: %q %w: %s", args[0], ready, err, said)
}

// line reads one line, until ctx ends.
func (s *session) line(ctx context.Context) (string, error) {
	stop := context.AfterFunc(ctx, s.attached.Close)
	defer stop()
	if !s.lines.Scan() {
		return "", errors.Join(s.lines.Err(), io.ErrUnexpectedEOF, ctx.Err())
	}
	return s.lines.Text(), nil
}

// ask sends a question, a line without a line break, and reads the answer.
func (s *session) ask(ctx context.Context, question []byte, answer any) error {
	if _, err := s.attached.Conn.Write(append(question, '\n')); err != nil {
		return err
	}
	text, err := s.line(ctx)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(text), answer); err != nil {
		return fmt.Errorf("%w: %q", err, text)
	}
	return nil
}

// end closes the standard input of the agent and waits until it has undone what it did and ended.
func (s *session) end(ctx context.Context) error {
	if err := s.attached.CloseWrite(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, s.attached.Close)
	defer stop()
	for s.lines.Scan() {
	}
	<-s.done
	s.attached.Close()
	if said := strings.TrimSpace(s.stderr.String()); said != "" || ctx.Err() != nil {
		return errors.Join(ctx.Err(), fmt.Errorf("agent: %s", said))
	}
	return nil
}
