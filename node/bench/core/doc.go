// Package core compares cores: the algorithm alone, without disk, network or clock, ours and etcd's. It is a module of its own, so that
// nobody who builds raftlab has etcd's among the dependencies.
package core
