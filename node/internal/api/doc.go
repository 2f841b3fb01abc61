// Package api is the HTTP face of a member. Its promise is in the status codes: 200 means done, 503 (and
// every 4xx) means certainly not done, 504 means that nobody can say yet. When in doubt it answers 504.
//
// A Server is an http.Handler, safe for concurrent use. It holds no state of Raft: it asks the Node, and
// reads the kv.Store.
//
// # Decisions that the wire format alone does not show
//
//   - Raft-Index and Raft-Term of a reply name one position of the log: of the command for a write, of the
//     last entry that the read could see for a read. The term in an error is the member's current one.
//   - An entity tag is the decimal index of the last write in quotes. If-Match takes one tag or *, never a
//     weak one or a list; a tag that cannot be ours ("abc") is a mistake of the caller, so 400 and not 412.
//     If-None-Match on PUT takes only *. On GET both behave as RFC 9110 says.
//   - A DELETE carries no ETag: afterwards there is nothing to match. Its index is in Raft-Index.
//   - application/json must be valid JSON in UTF-8 and is kept byte for byte. text/plain, and the form
//     encoding that curl -d claims, are kept as text/plain. multipart/form-data, a malformed Content-Type and
//     any Content-Encoding are refused with 415. Everything else is kept as application/octet-stream, so no
//     stored value can act as a page or a script.
//   - A key is 1 to 512 bytes of UTF-8, after percent-decoding; /a%2Fb and /v1/kv/a/b are the same key.
//   - An unknown or repeated query parameter is 400: ?consistancy=stale must not silently mean the default.
//   - A read that runs out of time is 503: it had no effect, so there is nothing to be unsure of.
package api
