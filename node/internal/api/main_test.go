package api

import (
	"testing"

	"go.uber.org/goleak"
)

// Whoever starts a goroutine waits for it.
// net/http waits half a second before it closes a connection of which it left something unread, so that the reply is not
// lost to a reset (rstAvoidanceDelay); that ends by itself.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}
