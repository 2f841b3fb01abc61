package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// The reply was not one that this client understands. It refuses rather than guesses: a benchmark that reads
// replies wrongly measures nothing.
var errReply = errors.New("bench: bad reply")

const replyBytesMax = 1 << 20

// http1 is one keep-alive connection that sends one request at a time and reads its whole reply, in one write
// and most often one read. It is used instead of net/http because the load generator shares the cores with what
// it measures: net/http's client costs more than some of the servers. It knows the part of RFC 9112 that the
// servers here use, replies with a Content-Length, and refuses everything else.
type http1 struct {
	conn net.Conn
	buf  []byte
	have int // bytes of buf that hold what was read
}

func dialHTTP1(address string, deadline time.Time) (*http1, error) {
	conn, err := (&net.Dialer{Deadline: deadline}).Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(deadline); err != nil {
		conn.Close()
		return nil, err
	}
	return &http1{conn: conn, buf: make([]byte, 4096)}, nil
}

func (h *http1) Close() error { return h.conn.Close() }

// Do sends the request, bytes as they go over the wire, and returns the reply's status and body. The body is
// valid until the next call. After an error the connection is of no more use.
func (h *http1) Do(request []byte) (status int, body []byte, err error) {
	if _, err := h.conn.Write(request); err != nil {
		return 0, nil, err
	}
	h.have = 0
	for {
		head, err := h.readHead()
		if err != nil {
			return 0, nil, err
		}
		status, length, err := parseHead(h.buf[:head])
		if err != nil {
			return 0, nil, err
		}
		if err := h.readTo(head + length); err != nil {
			return 0, nil, err
		}
		if status >= 200 {
			if h.have > head+length {
				return 0, nil, fmt.Errorf("%w: %d bytes after its end", errReply, h.have-head-length)
			}
			return status, h.buf[head : head+length], nil
		}
		// RFC 9110 §15.2: any number of interim replies may come before the final one.
		h.have = copy(h.buf, h.buf[head:h.have])
	}
}

var endOfHead = []byte("\r\n\r\n")

// readHead reads until the header is complete, and returns its length with the empty line.
func (h *http1) readHead() (int, error) {
	for from := 0; ; {
		if i := bytes.Index(h.buf[from:h.have], endOfHead); i >= 0 {
			return from + i + len(endOfHead), nil
		}
		from = max(0, h.have-len(endOfHead)+1)
		if err := h.readTo(h.have + 1); err != nil {
			return 0, err
		}
	}
}

// readTo reads until there are at least n bytes in buf.
func (h *http1) readTo(n int) error {
	if n > replyBytesMax {
		return fmt.Errorf("%w: longer than %d bytes", errReply, replyBytesMax)
	}
	for h.have < n {
		if n > len(h.buf) || h.have == len(h.buf) {
			h.buf = append(h.buf, make([]byte, max(len(h.buf), n-len(h.buf)))...)
		}
		got, err := h.conn.Read(h.buf[h.have:])
		h.have += got
		if err != nil && h.have < n {
			if errors.Is(err, io.EOF) {
				err = fmt.Errorf("%w: cut off after %d bytes: %w", errReply, h.have, io.ErrUnexpectedEOF)
			}
			return err
		}
	}
	return nil
}

// parseHead reads a header that ends with an empty line: the status, and how long the body is.
func parseHead(head []byte) (status, length int, err error) {
	line, rest, _ := bytes.Cut(head, []byte("\r\n"))
	// HTTP/1.1 200 OK; the reason may be missing, the space before it may not (RFC 9112 §4), but often is.
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) || len(line) > 12 && line[12] != ' ' {
		return 0, 0, fmt.Errorf("%w: status line %q", errReply, line)
	}
	if status, err = decimal(line[9:12]); err != nil || status < 100 {
		return 0, 0, fmt.Errorf("%w: status line %q", errReply, line)
	}
	length = -1
	for len(rest) > 2 {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			return 0, 0, fmt.Errorf("%w: header line %q", errReply, line)
		}
		value = bytes.Trim(value, " \t")
		switch {
		case len(name) == len("Content-Length") && bytes.EqualFold(name, []byte("Content-Length")):
			n, err := decimal(value)
			if err != nil || length >= 0 && length != n {
				return 0, 0, fmt.Errorf("%w: header line %q", errReply, line)
			}
			length = n
		case len(name) == len("Transfer-Encoding") && bytes.EqualFold(name, []byte("Transfer-Encoding")):
			return 0, 0, fmt.Errorf("%w: %q is not understood, only Content-Length", errReply, line)
		case len(name) == len("Connection") && bytes.EqualFold(name, []byte("Connection")) && !bytes.EqualFold(value, []byte("keep-alive")):
			return 0, 0, fmt.Errorf("%w: status %d with %q on a connection to be kept", errReply, status, line)
		}
	}
	if status < 200 || status == 204 || status == 304 {
		length = 0 // RFC 9112 §6.3: these have no body, whatever the header says
	}
	if length < 0 {
		return 0, 0, fmt.Errorf("%w: status %d without Content-Length", errReply, status)
	}
	return status, length, nil
}

// decimal is strconv.Atoi for digits alone: a sign or a list ("5, 5") is not a length.
func decimal(digits []byte) (int, error) {
	if len(digits) == 0 || len(digits) > 9 {
		return 0, strconv.ErrSyntax
	}
	n := 0
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, strconv.ErrSyntax
		}
		n = n*10 + int(d-'0')
	}
	return n, nil
}
