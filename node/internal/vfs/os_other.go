//go:build !unix

package vfs

import (
	"errors"
	"os"
)

// lockFile refuses: without a lock, two processes could write one log.
func lockFile(*os.File) error { return errors.ErrUnsupported }

func tryLock(*os.File) error { return errors.ErrUnsupported }
