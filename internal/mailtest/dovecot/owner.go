package dovecot

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// owner is the user that the server runs as and that its files belong to.
type owner struct {
	user, group string
	uid, gid    int
	change      bool // this process is root, so files and processes are given to the owner
}

// findOwner returns the current user, or nobody where that is root.
func findOwner() (owner, error) {
	current, err := user.Current()
	if err != nil {
		return owner{}, err
	}
	root := os.Geteuid() == 0
	if root {
		if current, err = user.Lookup("nobody"); err != nil {
			return owner{}, err
		}
	}
	group, err := user.LookupGroupId(current.Gid)
	if err != nil {
		return owner{}, err
	}
	uid, uidErr := strconv.Atoi(current.Uid)
	gid, gidErr := strconv.Atoi(current.Gid)
	return owner{
		user: current.Username, group: group.Name, uid: uid, gid: gid, change: root,
	}, errors.Join(uidErr, gidErr)
}

// give hands files over to the owner.
func (o owner) give(paths ...string) error {
	if !o.change {
		return nil
	}
	for _, path := range paths {
		if err := os.Chown(path, o.uid, o.gid); err != nil {
			return err
		}
	}
	return nil
}

// mkdir makes a directory of the owner's, and any missing parents. An existing one is left alone.
func (o owner) mkdir(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := o.mkdir(filepath.Dir(path)); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return o.give(path)
}

// open gives dir to the owner and lets him search its parents inside the temporary directory.
func (o owner) open(dir string) error {
	if !o.change {
		return nil
	}
	if err := o.give(dir); err != nil {
		return err
	}
	temporary := filepath.Clean(os.TempDir())
	for parent := filepath.Dir(dir); ; parent = filepath.Dir(parent) {
		info, err := os.Stat(parent)
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o001 == 0 {
			if !strings.HasPrefix(parent, temporary+"/") {
				return fmt.Errorf("%s is closed to user %s", parent, o.user)
			}
			if err := os.Chmod(parent, info.Mode().Perm()|0o111); err != nil {
				return err
			}
		}
		if parent == filepath.Dir(parent) {
			return nil
		}
	}
}
