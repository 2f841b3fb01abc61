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
//   - Idempotency-Key on PUT and DELETE: however often and wherever a request is sent, it is done once, and
//     every answer is the first one (status, ETag, Raft-Index, Raft-Term), a 412 too; a repeat says so with
//     Idempotent-Replayed: true. The same key with another method, key, value, content type or condition is 422,
//     and nothing is done. Keys are kept in the replicated state, the last 10,000 of the cluster in the order of
//     their first use. After that a key is forgotten, and a request with it is a new request, which is done
//     again: retry within seconds, not days, or give a condition, which holds for ever (kv.SessionsMax). Or send with each
//     attempt the same Idempotency-Since, the Raft-Index of a reply that came before the first: then a request that may
//     have been forgotten is 409 "idempotency_key_forgotten", nothing is done, and the Raft-Index is one to begin anew with.
//   - A member that was removed answers 503 "removed" without Retry-After where it would say "no_leader": it will not
//     have one again. It knows from the others, who refuse its streams with 410; whose streams are not for this member
//     (another id, another cluster) is refused with 409, another protocol with 426. PUT of an id that was removed is 410.
//   - A forwarded request says of which cluster it is (Raft-Cluster): a member of another refuses it, 503 "other_cluster".
//     Else a leader that lost its disk and started anew would acknowledge the writes of the cluster that it was of.
//   - What is no HTTP never gets here: net/http itself answers a header beyond 64 KiB (431), %zz in a path, two Host
//     lines (400), in a line of text. 408 is for a body that came too slowly.
//   - POST /__pyraft/snapshot is for the member that was asked. POST /__pyraft/leader is done by the leader,
//     and answered when the new one is known; a transfer that did not happen in time is 504, because the
//     target may still campaign.
//   - GET /__pyraft/events has "raft" (a sentence of the trace), "lost" (how many events the client was too slow
//     for) and "end" (the member stops). Nobody waits for a slow client.
//   - GET / in a browser is the live page (raftlab/node/live). GET /__pyraft/live feeds it: server-sent events with what
//     all members say of themselves ("view", four times a second) and the sentences of all ("raft"), as this member can
//     reach them, while somebody looks. GET /__pyraft/view is one member's part: its status, the terms of its last entries,
//     its streams to the others. A browser cannot send a token, so with a token the page is for proxies that add it.
//
// # Who may ask
//
// With Config.Token every route wants Authorization: Bearer TOKEN, except /livez, /healthz, /readyz,
// /readyz/leader, /robots.txt and /favicon.ico: keys, membership, administration, and also /metrics, /version and
// the status, which name members. Without TLS the token travels in the clear.
//
// Members use the same token on what they ask of each other (forwarded requests, identity, joining, and the
// streams where there is no CA), always their own and never a client's. Whoever has the token can therefore
// also speak as a member: a token alone does not tell members from clients.
//
// With Config.TLS and a CA it does not need to. Then streams (/__pyraft/stream, /__pyraft/snapshot/stream) and
// forwarded requests (a header Raft-Forwarded) are refused with 403 unless the connection has shown a certificate
// that the CA signed; a stream then needs no token, a forwarded request needs both. Clients need no certificate. A
// member whose certificate another CA signed does not get through the handshake. Each is logged once for each
// host. The CA must sign nothing but members; README.md has the commands.
package api
