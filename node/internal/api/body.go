package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"time"
	"unicode/utf8"

	"raftlab/node/internal/kv"
)

// The content types that are kept, and so the only ones ever sent.
const (
	typeJSON   = "application/json"
	typeText   = "text/plain"
	typeBinary = "application/octet-stream"
)

// storedType decides under which of the three a value is kept.
func storedType(h http.Header) (string, *failure) {
	if coding := h.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return "", refuse(http.StatusUnsupportedMediaType, "unsupported_type", "Content-Encoding: %s: send the value as it is", coding)
	}
	given := h.Get("Content-Type")
	switch given { // without parsing, what nearly all clients send
	case typeJSON, typeText, typeBinary:
		return given, nil
	case "":
		return typeBinary, nil
	case "application/x-www-form-urlencoded": // curl -d
		return typeText, nil
	}
	media, _, err := mime.ParseMediaType(given)
	if err != nil {
		return "", refuse(http.StatusUnsupportedMediaType, "unsupported_type", "Content-Type: %s: %v", given, err)
	}
	switch media {
	case typeJSON, typeText:
		return media, nil
	case "application/x-www-form-urlencoded":
		return typeText, nil
	case "multipart/form-data":
		return "", refuse(http.StatusUnsupportedMediaType, "unsupported_type", "multipart/form-data is not taken apart; send the value itself as the body")
	}
	return typeBinary, nil
}

// readValue reads the body, of at most a mebibyte. A length that is too large is refused before the first
// byte is read, so that curl's Expect: 100-continue saves sending it.
func readValue(x *exchange) ([]byte, *failure) {
	length := x.r.ContentLength
	if length > kv.ValueBytesMax {
		drain(x)
		return nil, tooLarge()
	}
	body := http.MaxBytesReader(x.ResponseWriter, x.r.Body, kv.ValueBytesMax)
	// The room grows with what arrives: a promised mebibyte that never comes costs nothing.
	value := bytes.NewBuffer(make([]byte, 0, min(max(length, 0)+bytes.MinRead, 16<<10)))
	n, err := value.ReadFrom(body)
	if err == nil && length >= 0 && n != length {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		return value.Bytes(), nil
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, refuse(http.StatusRequestTimeout, "slow_body", "the body did not arrive in time; nothing was done")
	}
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		drain(x)
		return nil, tooLarge()
	}
	return nil, refuse(http.StatusBadRequest, "bad_body", "the body broke off: %v", err)
}

// drain reads some of what is too much: net/http closes a connection with much unread, and a client that still
// writes would see a reset instead of the 413. Who asks first (Expect: 100-continue) need not send anything.
func drain(x *exchange) {
	if x.r.Header.Get("Expect") == "" {
		http.NewResponseController(x).SetReadDeadline(time.Now().Add(bodyRestTimeout)) // an error means that there is none to set
		io.CopyN(io.Discard, x.r.Body, 2*kv.ValueBytesMax)                             // an error means that the client is gone
	}
}

func tooLarge() *failure {
	return refuse(http.StatusRequestEntityTooLarge, "too_large", "the value is larger than %d bytes", kv.ValueBytesMax)
}

// checkValue says what is wrong with the value, or nil.
func checkValue(value []byte, contentType string, emptyAllowed bool) *failure {
	switch {
	case len(value) == 0 && contentType == typeJSON:
		return refuse(http.StatusBadRequest, "bad_json", "the body is empty, which is not JSON; send null, \"\" or another content type")
	case len(value) == 0 && !emptyAllowed:
		return refuse(http.StatusBadRequest, "empty_body", "the body is empty; an empty value can be stored with /v1/kv/…")
	case contentType != typeJSON:
		return nil
	case !utf8.Valid(value):
		return refuse(http.StatusBadRequest, "bad_json", "the body is not valid JSON: it is not UTF-8")
	case !json.Valid(value):
		var any json.RawMessage
		return refuse(http.StatusBadRequest, "bad_json", "the body is not valid JSON: %v", json.Unmarshal(value, &any))
	}
	return nil
}

// putReply is the seed's: {"status":"ok","value":…} with JSON as it was sent, text as a string, and null
// for bytes that are no text.
func putReply(value []byte, contentType string) []byte {
	const head, tail = `{"status":"ok","value":`, "}\n"
	reply := make([]byte, 0, len(head)+len(value)+2+len(tail))
	reply = append(reply, head...)
	switch {
	case contentType == typeJSON:
		reply = append(reply, value...)
	case utf8.Valid(value):
		quoted, err := json.Marshal(string(value))
		if err != nil {
			panic("api: marshal a string: " + err.Error())
		}
		reply = append(reply, quoted...)
	default:
		reply = append(reply, "null"...)
	}
	return append(reply, tail...)
}
