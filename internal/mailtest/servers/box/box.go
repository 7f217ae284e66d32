// Package box runs a mail server that is unpacked and not installed, in a view of the file system
// of its own.
//
// Debian's mail servers conflict with each other, so no two of them can be installed together.
// A [Box] is a private mount and process namespace whose /usr and /etc are those of the machine
// with a server's packages laid over them. /var, /run and /tmp are empty and in memory, and
// [Box.Dir], the one directory that box and machine share under the same name, is where a server
// is told to keep its mail, so that a test can read it there. The network is the machine's, and a
// server has to be told to stay on loopback.
//
// [Open] makes a box and starts its first process, and [Box.Close] ends it, with which the kernel
// ends all others of the box. If this program dies, however it dies, the first process does the
// same: an empty directory is all that is left over.
// [Box.Run] carries out a command inside; [Box.Serve] is an inetd, for servers that want to be
// started once for each connection.
//
// A box needs root and Linux, with /bin, /lib and /sbin being links into /usr. [Packages] says
// where the unpacked packages are.
package box

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Password is what every user of a box logs in with.
const Password = "secret"

// hash is Password as crypt(3) has it.
const hash = "$6$popferry$UlBiUEfmrjAQvFQo2o1raPOZcgKKU3YNjdDbcYSwMEV1hCh63P9RNgdWv0s." +
	"/mR30f94yernjAsjyP3EFELxR."

// UID and GID are the numbers of every user of a box, and those that mail has to belong to.
const (
	UID = 7000
	GID = 7000
)

// firstSystem is the number of the first of [Options.System].
const firstSystem = 7001

// Options says what is in a box.
type Options struct {
	// Packages is the directory with the unpacked packages.
	Packages string
	// Users can log in with [Password]. The home of each is Dir/home/NAME.
	Users []string
	// System are accounts that the packages would have made when installed, each with a group of
	// its own name.
	System []string
	// Files are laid over everything, by their path inside the box, such as "/etc/imapd.conf".
	// Only /etc is possible. A function gets the box's Dir.
	Files map[string]func(dir string) string
	// Setup is a shell script that runs in the box as root before Main. DIR is set.
	Setup string
	// Main is a shell command that runs for as long as the box does; "" for none. DIR is set.
	Main string
}

// Packages returns the directory where "make interop-servers" has unpacked a server.
func Packages(server string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "popferry-interop", server)
	if _, err := os.Stat(dir); err != nil {
		return "", fmt.Errorf("%s is not unpacked, run \"make interop-servers\": %w", server, err)
	}
	return dir, nil
}

// lay writes the files of the top layer.
func (o Options) lay(dir string) error {
	files := map[string]string{}
	for path, text := range o.Files {
		files[path] = text(dir)
	}
	for _, name := range []string{"passwd", "shadow", "group"} {
		text, err := os.ReadFile(filepath.Join("/etc", name))
		if err != nil {
			return err
		}
		files["/etc/"+name] = string(text)
	}
	files["/etc/group"] += fmt.Sprintf("boxed:x:%d:\n", GID)
	for i, name := range o.System {
		n := firstSystem + i
		files["/etc/passwd"] += fmt.Sprintf("%s:x:%d:%d::/nonexistent:/bin/sh\n", name, n, n)
		files["/etc/group"] += fmt.Sprintf("%s:x:%d:\n", name, n)
	}
	for _, name := range o.Users {
		home := filepath.Join(dir, "home", name)
		files["/etc/passwd"] += fmt.Sprintf("%s:x:%d:%d::%s:/bin/sh\n", name, UID, GID, home)
		files["/etc/shadow"] += fmt.Sprintf("%s:%s:19000:0:99999:7:::\n", name, hash)
	}
	for path, text := range files {
		if err := write(filepath.Join(dir, "layer"), path, text); err != nil {
			return err
		}
	}
	return nil
}

func write(layer, path, text string) error {
	if !strings.HasPrefix(path, "/etc/") {
		return errors.New("only files of /etc can be laid over: " + path)
	}
	path = filepath.Join(layer, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}
