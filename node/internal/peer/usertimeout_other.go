//go:build !linux

package peer

import (
	"net"
	"time"
)

func setUserTimeout(net.Conn, time.Duration) {}
