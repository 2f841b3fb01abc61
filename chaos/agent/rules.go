package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"syscall"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// tableName is ours alone: whoever finds it may delete it.
const tableName = "raftlab"

const (
	in  = "in"
	out = "out"
)

// Drop says that packets from a peer (in) or to it (out) are not let through.
type Drop struct {
	Peer      netip.Addr `json:"peer"`
	Direction string     `json:"direction"`
}

// Counter is what one rule has dropped.
type Counter struct {
	Drop
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// Counters is what the command of this name prints.
type Counters struct {
	Table bool      `json:"table"` // whether our table is there
	Rules []Counter `json:"rules"`
}

// cut adds what is not cut yet, all in one transaction.
func cut(conn *nftables.Conn, drops []Drop) error {
	before, err := readCounters(conn)
	if err != nil {
		return err
	}
	table := conn.AddTable(&nftables.Table{Name: tableName, Family: nftables.TableFamilyIPv4})
	addDrops(conn, table, drops, before.Rules)
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("add rules: %w", explain(err))
	}
	return nil
}

func addDrops(conn *nftables.Conn, table *nftables.Table, drops []Drop, have []Counter) {
	chains := addChains(conn, table, *nftables.ChainPriorityFilter)
	for i, drop := range drops {
		known := slices.ContainsFunc(have, func(c Counter) bool { return c.Drop == drop })
		if !known && !slices.Contains(drops[:i], drop) {
			conn.AddRule(&nftables.Rule{Table: table, Chain: chains[drop.Direction], Exprs: match(drop), UserData: []byte(drop.Peer.String())})
		}
	}
}

func addChains(conn *nftables.Conn, table *nftables.Table, priority nftables.ChainPriority) map[string]*nftables.Chain {
	chains := map[string]*nftables.Chain{}
	for direction, hook := range map[string]*nftables.ChainHook{in: nftables.ChainHookInput, out: nftables.ChainHookOutput} {
		chains[direction] = conn.AddChain(&nftables.Chain{
			Name: direction, Table: table, Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: &priority,
		})
	}
	return chains
}

// match is: ip saddr|daddr <peer> counter drop.
func match(drop Drop) []expr.Any {
	return append(address(drop), &expr.Counter{}, &expr.Verdict{Kind: expr.VerdictDrop})
}

// address is: ip saddr|daddr <peer>. The addresses are at bytes 12 and 16 of the IPv4 header (RFC 791).
func address(drop Drop) []expr.Any {
	offset := uint32(12)
	if drop.Direction == out {
		offset = 16
	}
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: drop.Peer.AsSlice()},
	}
}

func findTable(conn *nftables.Conn, name string) (*nftables.Table, error) {
	tables, err := conn.ListTablesOfFamily(nftables.TableFamilyIPv4)
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", explain(err))
	}
	for _, table := range tables {
		if table.Name == name {
			return table, nil
		}
	}
	return nil, nil
}

func readCounters(conn *nftables.Conn) (Counters, error) {
	return readTable(conn, tableName)
}

func readTable(conn *nftables.Conn, name string) (Counters, error) {
	counters := Counters{Rules: []Counter{}}
	table, err := findTable(conn, name)
	if err != nil || table == nil {
		return counters, err
	}
	counters.Table = true
	for _, direction := range []string{in, out} {
		rules, err := conn.GetRules(table, &nftables.Chain{Name: direction, Table: table})
		if err != nil {
			return counters, fmt.Errorf("list rules: %w", explain(err))
		}
		for _, rule := range rules {
			peer, err := netip.ParseAddr(string(rule.UserData))
			if err != nil {
				return counters, fmt.Errorf("a rule in table %s is not ours: %q", name, rule.UserData)
			}
			counter := Counter{Drop: Drop{Peer: peer, Direction: direction}}
			for _, e := range rule.Exprs {
				if c, ok := e.(*expr.Counter); ok {
					counter.Packets, counter.Bytes = c.Packets, c.Bytes
				}
			}
			counters.Rules = append(counters.Rules, counter)
		}
	}
	return counters, nil
}

// heal removes our rules for these drops, or our whole table where none is named, and looks whether they are gone. One
// that is not there is healed.
func heal(conn *nftables.Conn, drops []Drop) error {
	table, err := findTable(conn, tableName)
	if err != nil || table == nil {
		return err
	}
	if len(drops) == 0 {
		return removeTable(conn, tableName)
	}
	for _, direction := range []string{in, out} {
		rules, err := conn.GetRules(table, &nftables.Chain{Name: direction, Table: table})
		if err != nil {
			return fmt.Errorf("list rules: %w", explain(err))
		}
		for _, rule := range rules {
			peer, err := netip.ParseAddr(string(rule.UserData))
			if err == nil && slices.Contains(drops, Drop{Peer: peer, Direction: direction}) {
				conn.DelRule(rule)
			}
		}
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("remove rules: %w", explain(err))
	}
	left, err := readCounters(conn)
	if err != nil {
		return err
	}
	for _, rule := range left.Rules {
		if slices.Contains(drops, rule.Drop) {
			return fmt.Errorf("remove rules: the one for %s/%s is still there", rule.Peer, rule.Direction)
		}
	}
	if len(left.Rules) == 0 {
		return removeTable(conn, tableName)
	}
	return nil
}

func removeTable(conn *nftables.Conn, name string) error {
	table, err := findTable(conn, name)
	if err != nil || table == nil {
		return err
	}
	conn.DelTable(table)
	if err := conn.Flush(); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove table: %w", explain(err))
	}
	if table, err = findTable(conn, name); err == nil && table != nil {
		err = fmt.Errorf("remove table: %s is still there", name)
	}
	return err
}

// check does in a table of another name what cut, counters and heal do. It drops nothing: the peer of its rule is
// from the block that is never assigned (RFC 5737).
func check(conn *nftables.Conn) error {
	const name = tableName + "-check"
	want := Drop{Peer: netip.MustParseAddr("203.0.113.1"), Direction: out}
	addDrops(conn, conn.AddTable(&nftables.Table{Name: name, Family: nftables.TableFamilyIPv4}), []Drop{want}, nil)
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("add rules: %w", explain(err))
	}
	read, err := readTable(conn, name)
	if err == nil && (len(read.Rules) != 1 || read.Rules[0].Drop != want) {
		err = fmt.Errorf("wrote one rule, read back %+v", read.Rules)
	}
	return errors.Join(err, removeTable(conn, name))
}

// explain adds to the kernel's error what it means for who runs the lab.
func explain(err error) error {
	switch {
	case errors.Is(err, syscall.EPERM):
		return fmt.Errorf("%w: %w: the side-car needs the capability NET_ADMIN and user 0", errUnsupported, err)
	case errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, syscall.EPROTONOSUPPORT), errors.Is(err, syscall.ENOENT):
		return fmt.Errorf("%w: %w: this kernel lacks nf_tables (CONFIG_NF_TABLES, CONFIG_NF_TABLES_IPV4, nft_counter)", errUnsupported, err)
	}
	return err
}
