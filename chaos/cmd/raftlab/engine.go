package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// dockerEngine speaks the few calls of the Engine API that the lab needs before a cluster exists: what can it do,
// is the image there, make an image. Clusters are the business of harness/docker, whose connect has found the engine
// and put it into DOCKER_HOST.
type dockerEngine struct {
	host string // as configured
	base string
	http *http.Client
}

func newEngine() (*dockerEngine, error) {
	host := os.Getenv("DOCKER_HOST")
	if host == "" {
		host = "unix:///var/run/docker.sock"
	}
	u, err := url.Parse(host)
	if err != nil {
		return nil, fmt.Errorf("DOCKER_HOST %q: %w", host, err)
	}
	e := &dockerEngine{host: host, base: "http://docker"}
	transport := &http.Transport{DisableKeepAlives: true}
	switch u.Scheme {
	case "unix":
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", u.Path)
		}
	case "tcp", "http":
		e.base = "http://" + u.Host
	default:
		return nil, fmt.Errorf("DOCKER_HOST %s: only unix:// and tcp:// are supported", host)
	}
	e.http = &http.Client{Transport: transport}
	return e, nil
}

// errNoSuch is the engine's 404.
var errNoSuch = errors.New("no such thing")

// call decodes the answer into reply, which may be nil.
func (e *dockerEngine) call(ctx context.Context, method, path string, body io.Reader, reply any) error {
	answer, err := e.stream(ctx, method, path, "application/json", body)
	if err != nil {
		return err
	}
	defer answer.Close()
	if reply == nil {
		_, err = io.Copy(io.Discard, answer)
		return err
	}
	return json.NewDecoder(answer).Decode(reply)
}

func (e *dockerEngine) stream(ctx context.Context, method, path, kind string, body io.Reader) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, method, e.base+path, body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", kind)
	response, err := e.http.Do(request)
	if err != nil {
		var dial *net.OpError
		if errors.As(err, &dial) {
			err = dial.Err
		}
		return nil, fmt.Errorf("%s: %w", e.host, err)
	}
	if response.StatusCode < http.StatusBadRequest {
		return response.Body, nil
	}
	defer response.Body.Close()
	var failed struct{ Message string }
	text, _ := io.ReadAll(io.LimitReader(response.Body, 4096)) // a broken answer still has its status
	if json.Unmarshal(text, &failed) != nil {
		failed.Message = strings.TrimSpace(string(text))
	}
	if response.StatusCode == http.StatusNotFound {
		return nil, fmt.Errorf("%w: %s", errNoSuch, failed.Message)
	}
	return nil, fmt.Errorf("docker: %s: %s", response.Status, failed.Message)
}

// image is what the engine says of one.
type image struct {
	ID     string `json:"Id"`
	Config struct{ Entrypoint []string }
}

func (e *dockerEngine) findImage(ctx context.Context, name string) (image, error) {
	var found image
	err := e.call(ctx, http.MethodGet, "/images/"+url.PathEscape(name)+"/json", nil, &found)
	if errors.Is(err, errNoSuch) {
		return found, fmt.Errorf("image %s is not there; run `make image`", name)
	}
	return found, err
}

func (e *dockerEngine) removeImage(ctx context.Context, name string) error {
	return e.call(ctx, http.MethodDelete, "/images/"+url.PathEscape(name), nil, nil)
}

// build makes an image from a tar that holds a Dockerfile.
func (e *dockerEngine) build(ctx context.Context, tag string, files io.Reader) error {
	query := url.Values{"t": {tag}, "q": {"1"}, "rm": {"1"}, "forcerm": {"1"}}
	answer, err := e.stream(ctx, http.MethodPost, "/build?"+query.Encode(), "application/x-tar", files)
	if err != nil {
		return err
	}
	defer answer.Close()
	said, err := io.ReadAll(answer)
	if err != nil {
		return err
	}
	// The status was sent before the build began: a failure is in the stream.
	for line := range bytes.Lines(said) {
		var step struct{ Error string }
		if json.Unmarshal(line, &step) == nil && step.Error != "" {
			return fmt.Errorf("docker build %s: %s", tag, step.Error)
		}
	}
	return nil
}
