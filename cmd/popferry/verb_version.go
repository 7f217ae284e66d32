package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/popferry/popferry/internal/fault"
	"github.com/popferry/popferry/internal/report"
)

// build is what the program was built from.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Time     string `json:"time,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "what this program was built from",
		Args:  noNames,
		RunE: func(*cobra.Command, []string) error {
			return a.show(buildOf(debug.ReadBuildInfo()), fault.OK)
		},
	}
}

func buildOf(info *debug.BuildInfo, ok bool) build {
	b := build{Version: "(unknown)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if !ok {
		return b
	}
	b.Version = info.Main.Version
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// JSON is the build itself.
func (b build) JSON() any { return b }

// Sheet is empty: there are no accounts.
func (b build) Sheet() report.Sheet { return report.Sheet{Title: "popferry " + b.Version} }

// WriteText writes one line.
func (b build) WriteText(w io.Writer) error {
	commit := ""
	if b.Commit != "" {
		commit = " commit " + b.Commit[:min(12, len(b.Commit))]
		if b.Modified {
			commit += " (modified)"
		}
	}
	_, err := fmt.Fprintf(w, "popferry %s%s %s %s\n", b.Version, commit, b.Go, b.Platform)
	return err
}
