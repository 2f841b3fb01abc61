package disk

import "syscall"

// attributes end the program when the layer ends, and make it the user that it would be without the layer.
func attributes(uid, gid int) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if uid >= 0 {
		a.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(max(gid, 0))}
	}
	return a
}
