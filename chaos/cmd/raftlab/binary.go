package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"raftlab/chaos/mutants"
)

const raftdPackage = "./node/cmd/raftd"

// findBinary answers with the program to run: the one that was named, a mutant that is built now, the one beside
// this program, or one that is built now. Where it builds one it does so in scratch.
func (o *options) findBinary(ctx context.Context, scratch string) (string, error) {
	built := filepath.Join(scratch, "raftd")
	switch {
	case o.planted != nil && o.binary != "":
		return "", usage("give --mutant or --binary, not both: a mutant is built from source")
	case o.planted != nil:
		root, err := mutants.ModuleRoot(".")
		if err != nil {
			return "", environment("--mutant %s: %w", o.mutant, err)
		}
		if err := o.planted.Build(ctx, root, built); err != nil {
			return "", environment("%w", err)
		}
		return built, nil
	case o.binary != "":
		return o.binary, executable(o.binary)
	}
	if self, err := os.Executable(); err == nil && o.store.program != "" {
		beside := filepath.Join(filepath.Dir(self), o.store.program)
		if executable(beside) == nil {
			return beside, nil
		}
	}
	return o.store.compile(ctx, scratch)
}

// fingerprint says which program was tested: its path says nothing once the next one is built there.
func fingerprint(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func executable(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return environment("--binary %s does not exist; run `make build`", path)
	case err != nil:
		return environment("--binary: %w", err)
	case info.IsDir() || info.Mode()&0o111 == 0:
		return environment("--binary %s is not a program", path)
	}
	return nil
}
