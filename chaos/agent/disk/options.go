//go:build linux

package disk

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/user"
	"strconv"
	"strings"
)

const usage = "usage: disk --back DIR --mount DIR --control SOCKET [--user USER[:GROUP]] [--forward] -- PROGRAM ARGUMENT..."

// options are the flags of `agent disk`.
type options struct {
	back, mount, control string
	user                 string // as in an image; empty: whoever this is
	uid, gid             int    // of user, else -1
	forward              bool   // signals go on to the program
	program              []string
}

func parse(args []string) (options, error) {
	o := options{uid: -1, gid: -1}
	flags := flag.NewFlagSet("disk", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.back, "back", "", "")
	flags.StringVar(&o.mount, "mount", "", "")
	flags.StringVar(&o.control, "control", "", "")
	flags.StringVar(&o.user, "user", "", "")
	flags.BoolVar(&o.forward, "forward", false, "")
	err := flags.Parse(args)
	o.program = flags.Args()
	if err != nil || o.back == "" || o.mount == "" || o.control == "" || len(o.program) == 0 {
		return o, errors.New(usage)
	}
	if o.user != "" {
		o.uid, o.gid, err = identify(o.user)
	}
	return o, err
}

// identify finds the ids of a user as an image names one: `1000`, `1000:1000`, `etcd`, `etcd:etcd`. A group that is not
// named is that of the user, or root's where nobody knows the user, as the engine takes it.
func identify(text string) (uid, gid int, err error) {
	name, group, _ := strings.Cut(text, ":")
	known, missing := user.Lookup(name)
	if missing != nil {
		known, missing = user.LookupId(name)
	}
	id := name
	if missing == nil {
		id = known.Uid
		gid, _ = strconv.Atoi(known.Gid)
	}
	if uid, err = strconv.Atoi(id); err != nil {
		return 0, 0, fmt.Errorf("disk: there is no user %q here", name)
	}
	if group == "" {
		return uid, gid, nil
	}
	id = group
	if found, err := user.LookupGroup(group); err == nil {
		id = found.Gid
	}
	if gid, err = strconv.Atoi(id); err != nil {
		return 0, 0, fmt.Errorf("disk: there is no group %q here", group)
	}
	return uid, gid, nil
}

// open makes the disk, and gives what it shows to the user.
func (o options) open() (*Disk, error) {
	hidden, err := os.ReadDir(o.mount)
	if err != nil {
		return nil, err
	}
	if len(hidden) > 0 {
		return nil, fmt.Errorf("%s is not empty (%s): what it holds would be hidden", o.mount, hidden[0].Name())
	}
	d, err := Open(o.back)
	if err != nil || o.user == "" {
		return d, err
	}
	return d, os.Chown(d.Files(), o.uid, o.gid)
}
