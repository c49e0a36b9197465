package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// copyTree copies the files of a repository: those that git tracks and the
// untracked ones that it does not ignore.
func copyTree(ctx context.Context, root, dir string) error {
	names, err := listFiles(ctx, root)
	if err != nil {
		return err
	}
	for _, name := range names {
		err := copyFile(filepath.Join(root, name), filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // deleted, not committed yet
			return fmt.Errorf("copying the repository: %w", err)
		}
	}
	return nil
}

func listFiles(ctx context.Context, root string) ([]string, error) {
	git := exec.CommandContext(ctx, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	git.Dir = root
	list, err := git.Output()
	if err != nil { // not a checkout: a source archive
		return walkFiles(root)
	}
	names := strings.Split(strings.TrimRight(string(list), "\x00"), "\x00")
	return slices.DeleteFunc(names, func(n string) bool { return n == "" }), nil
}

// walkFiles lists the files of a tree without git: all but hidden folders and
// what a build or a run leaves.
func walkFiles(root string) (names []string, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.IsDir() && (name == "bin" || name == "data" || strings.HasPrefix(d.Name(), ".") && name != ".") {
			return filepath.SkipDir
		}
		if d.Type().IsRegular() {
			names = append(names, name)
		}
		return nil
	})
	return names, err
}

func copyFile(from, to string) (err error) {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil { //nolint:gosec // a working tree
		return err
	}
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}
