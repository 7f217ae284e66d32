package examples_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// program is where the examples have popferry.
const program = "/usr/local/bin/popferry"

// hardened is what every service has to have.
var hardened = map[string]string{
	"DynamicUser": "yes", "User": "popferry", "StateDirectory": "popferry", "StateDirectoryMode": "0700", "NoNewPrivileges": "yes",
	"ProtectSystem": "strict", "ProtectHome": "yes", "PrivateTmp": "yes", "PrivateDevices": "yes",
	"MemoryDenyWriteExecute": "yes", "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX", "UMask": "0077",
	"CapabilityBoundingSet": "", "LimitCORE": "0", "LockPersonality": "yes", "SystemCallArchitectures": "native",
}

// unit reads the settings of a unit; of those that are repeated, all.
func unit(t *testing.T, name string) map[string][]string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string][]string{}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == '[' {
			continue
		}
		key, value, found := strings.Cut(line, "=")
		if !found {
			t.Errorf("%s: %q is no setting", name, line)
		}
		settings[key] = append(settings[key], value)
	}
	return settings
}

func TestServicesAreHardened(t *testing.T) {
	for _, name := range []string{"popferry.service", "popferry-run.service"} {
		got := unit(t, name)
		for key, want := range hardened {
			if !slices.Equal(got[key], []string{want}) {
				t.Errorf("%s: %s=%q, want %q", name, key, got[key], want)
			}
		}
		if len(got["LoadCredential"]) == 0 || got["SystemCallFilter"][0] != "@system-service" {
			t.Errorf("%s: %q, %q", name, got["LoadCredential"], got["SystemCallFilter"])
		}
		if command := got["ExecStart"][0]; !strings.HasPrefix(command, program+" ") ||
			!strings.Contains(command, " --state ${STATE_DIRECTORY}") {
			t.Errorf("%s: %s", name, command)
		}
	}
}

// TestServiceOfTheBridge: what systemd has to know of it.
func TestServiceOfTheBridge(t *testing.T) {
	got := unit(t, "popferry.service")
	for key, want := range map[string]string{"Type": "notify", "WatchdogSec": "2min", "Restart": "on-failure",
		"ExecReload": "/bin/kill -HUP $MAINPID", "RestartPreventExitStatus": "64 77 78"} {
		if !slices.Equal(got[key], []string{want}) {
			t.Errorf("%s=%q, want %q", key, got[key], want)
		}
	}
}

// TestUnitsAsSystemdSeesThem asks systemd-analyze, where it is.
func TestUnitsAsSystemdSeesThem(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("there is no systemd-analyze here")
	}
	dir := t.TempDir()
	var units []string
	for _, name := range []string{"popferry.service", "popferry-run.service", "popferry-run.timer"} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		// A program that is there.
		text := strings.ReplaceAll(string(data), program, "/bin/true")
		units = append(units, filepath.Join(dir, name))
		if err := os.WriteFile(units[len(units)-1], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	verify := exec.Command(analyze, append([]string{"verify", "--man=no"}, units...)...)
	if out, err := verify.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("verify: %v\n%s", err, out)
	}
	for _, name := range units[:2] {
		// The exposure level times ten: less is better, and 100 is the worst.
		security := exec.Command(analyze, "security", "--offline=true", "--threshold=15", "--no-pager", name)
		if out, err := security.CombinedOutput(); err != nil {
			t.Errorf("security: %v\n%s", err, out)
		}
	}
}

// TestTimer: a run tries a refused password anew, three times an hour at most.
func TestTimer(t *testing.T) {
	every := unit(t, "popferry-run.timer")["OnUnitInactiveSec"]
	minutes, err := strconv.Atoi(strings.TrimSuffix(strings.Join(every, ""), "min"))
	if err != nil || minutes < 20 {
		t.Errorf("every %q", every)
	}
}

var copyLine = regexp.MustCompile(`(?m)^COPY (?:--\S+ )*(.+) (\S+)$`)

// TestContainerfile: all that it copies is there, and all that the program is built from is
// copied.
func TestContainerfile(t *testing.T) {
	data, err := os.ReadFile("Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	build, run, found := strings.Cut(text, "\nFROM scratch\n")
	if !found {
		t.Fatal("there is no second stage")
	}
	var copied []string
	for _, m := range copyLine.FindAllStringSubmatch(build, -1) {
		copied = append(copied, strings.Fields(m[1])...)
	}
	for _, name := range copied {
		if _, err := os.Stat(filepath.Join("..", name)); err != nil {
			t.Error(err)
		}
	}
	list := exec.Command("go", "list", "-deps", "-f", "{{if .Module}}{{if .Module.Main}}{{.ImportPath}}{{end}}{{end}}", "./cmd/popferry")
	list.Dir = ".."
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, pkg := range strings.Fields(string(out)) {
		top, _, _ := strings.Cut(strings.TrimPrefix(pkg, "github.com/popferry/popferry/"), "/")
		if !slices.Contains(copied, top) {
			t.Errorf("%s is not copied", pkg)
		}
	}
	entry := regexp.MustCompile(`(?m)^ENTRYPOINT \["([^"]+)"`).FindStringSubmatch(run)
	if entry == nil || !regexp.MustCompile(`(?m)^COPY --from=build /out/popferry `+regexp.QuoteMeta(entry[1])+`$`).MatchString(run) ||
		!strings.Contains(build, "-o /out/popferry ./cmd/popferry") {
		t.Errorf("what is started is not what was built: %q", entry)
	}
	for _, want := range []string{"CGO_ENABLED=0", " -tags timetzdata ", "install -d -m 0700 /out/volume/state\n",
		"\nCOPY --from=build --chown=65532:65532 /out/volume /\n", "\nUSER 65532:65532\n", "\nVOLUME [\"/state\"]\n", "KEEP THE VOLUME", "--read-only", "--stop-timeout=45", "TZ=", ",uid=65532,mode=0400"} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q", want)
		}
	}
	if version := goVersion(t); !strings.Contains(build, "golang:"+version+" AS build") {
		t.Errorf("it is not built by Go %s, as go.mod has it", version)
	}
}

// goVersion is the version of the language in go.mod, without the patch level.
func goVersion(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(data)
	if m == nil {
		t.Fatal("go.mod names no version")
	}
	return string(m[1])
}
