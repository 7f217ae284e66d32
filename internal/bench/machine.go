package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/popferry/popferry/internal/mailtest/dovecot"
)

// machine is where the numbers come from.
type machine struct {
	System   string            `json:"system"`
	CPU      string            `json:"cpu"`
	Cores    int               `json:"cores"`
	MemoryMB int               `json:"memory_mb"`
	Load     string            `json:"load"` // before the first run: 1, 5 and 15 minutes
	Disk     string            `json:"disk"` // file system of popferry's journal
	Go       string            `json:"go"`
	Programs map[string]string `json:"programs"` // version by name
}

// describe tells what it can find out; what it cannot stays empty.
func describe(ctx context.Context, dir string, tools []*tool) machine {
	m := machine{
		System:   strings.TrimSpace(runtime.GOOS + " " + word("/proc/sys/kernel/osrelease", 0)),
		CPU:      field("/proc/cpuinfo", "model name"),
		Cores:    runtime.NumCPU(),
		Load:     load(),
		Disk:     fileSystem(dir),
		Go:       strings.TrimPrefix(runtime.Version(), "go"),
		Programs: map[string]string{},
	}
	var kib int
	if _, err := fmt.Sscan(field("/proc/meminfo", "MemTotal"), &kib); err == nil {
		m.MemoryMB = kib >> 10
	}
	if path, ok := dovecot.Found(); ok {
		m.Programs["dovecot"] = firstLine(ctx, path, "--version")
	}
	for _, t := range tools {
		m.Programs[t.name] = t.version
		if t.missing != "" {
			m.Programs[t.name] = t.missing
		}
	}
	return m
}

// word returns the nth word of a file, or "".
func word(path string, n int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	words := strings.Fields(string(text))
	if n >= len(words) {
		return ""
	}
	return words[n]
}

func load() string {
	return strings.TrimSpace(strings.Join(
		[]string{word("/proc/loadavg", 0), word("/proc/loadavg", 1), word("/proc/loadavg", 2)}, " "))
}

// field returns the value behind "name:" in a file, or "".
func field(path, name string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// fileSystem returns the type of the file system that dir is on: that of the longest mount point
// that leads there.
func fileSystem(dir string) string {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "an unknown file system"
	}
	longest, kind := "", "an unknown file system"
	for line := range strings.Lines(string(mounts)) {
		words := strings.Fields(line)
		if len(words) < 3 || len(words[1]) < len(longest) {
			continue
		}
		if at := strings.TrimSuffix(words[1], "/") + "/"; strings.HasPrefix(dir+"/", at) {
			longest, kind = words[1], words[2]
		}
	}
	return kind
}
