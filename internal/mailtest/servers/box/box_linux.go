package box

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// openLimit is how long a box may take to be set up; it usually takes a tenth of a second.
const openLimit = time.Minute

// script makes the view and becomes the first process. $1 is the shared directory, $2 the packages,
// $3 the set-up and $4 the command.
//
// A root of its own, rather than one overlay over "/": the kernel refuses layers inside of each
// other, and the packages lie somewhere below "/".
//
// The first process then waits for its standard input to end, which it does when this program dies,
// and takes everything with it. A signal on that death would not do: the kernel forgets about it
// when a server changes its user.
const script = `set -e
export DIR="$1" PATH=/usr/sbin:/usr/bin:/sbin:/bin
root="$DIR/root"
mount --make-rprivate /
mount -t tmpfs -o mode=755 box "$root"
cd "$root"
mkdir -p usr etc var/mail var/tmp run tmp proc dev upper work ".$DIR"
chmod 1777 tmp var/tmp var/mail
for name in bin sbin lib lib64; do
	[ ! -L "/$name" ] || ln -s "usr/$name" "$name"
done
mount -t overlay -o "lowerdir=$2/usr:/usr" usr usr
lower="$DIR/layer/etc:/etc"
[ ! -d "$2/etc" ] || lower="$DIR/layer/etc:$2/etc:/etc"
mount -t overlay -o "lowerdir=$lower,upperdir=$root/upper,workdir=$root/work" etc etc
mount -t proc proc proc
mount --rbind /dev dev
mount --bind "$DIR" ".$DIR"
exec chroot . /bin/sh -c '
set -e
exec 3>&1 1>&2
eval "$1"
if [ -n "$2" ]; then
	eval "$2" </dev/null 3>&- &
fi
echo ready >&3
exec 3>&-
read -r word || :
kill -s KILL -- -1 || :
rm -rf -- "$DIR"/*' box "$3" "$4"
`

// Box is a running box. Its methods are safe for concurrent use.
type Box struct {
	// Dir is the shared directory; Log is the file with what its processes print.
	Dir, Log string

	first   *exec.Cmd
	input   io.Closer     // the first process waits for its end
	ended   chan struct{} // closed when the first process has ended
	mu      sync.Mutex
	servers []net.Listener
}

// Open makes a box and returns once its set-up is done. The caller has to call [Box.Close]. An
// error contains the end of the log.
func Open(o Options) (*Box, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("a box needs root")
	}
	b := &Box{ended: make(chan struct{})}
	err := b.open(o)
	if err == nil {
		return b, nil
	}
	return nil, errors.Join(fmt.Errorf("open box: %w\n%s", err, b.LogTail()), b.Close())
}

func (b *Box) open(o Options) error {
	if err := b.makeDirs(o); err != nil {
		return err
	}
	if err := o.lay(b.Dir); err != nil {
		return err
	}
	cmd := exec.Command("/bin/sh", "-c", script, "box", b.Dir, o.Packages, o.Setup, o.Main)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid: true, Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
	}
	return b.start(cmd)
}

func (b *Box) makeDirs(o Options) error {
	var err error
	if b.Dir, err = os.MkdirTemp(memoryDir(), "box-"); err != nil {
		return err
	}
	if err := os.Chmod(b.Dir, 0o755); err != nil {
		return err
	}
	b.Log = filepath.Join(b.Dir, "log")
	if err := os.Mkdir(filepath.Join(b.Dir, "root"), 0o755); err != nil {
		return err
	}
	for _, name := range o.Users {
		home := filepath.Join(b.Dir, "home", name)
		if err := os.MkdirAll(home, 0o755); err != nil {
			return err
		}
		if err := os.Chown(home, UID, GID); err != nil {
			return err
		}
	}
	return nil
}

// memoryDir returns a directory whose files live in memory, or "" for the usual temporary one.
func memoryDir() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}

// start starts the first process and waits for its word.
func (b *Box) start(cmd *exec.Cmd) error {
	log, err := os.OpenFile(b.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o666)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stderr = log
	out, outErr := cmd.StdoutPipe()
	input, inErr := cmd.StdinPipe()
	if err := errors.Join(outErr, inErr); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	b.first, b.input = cmd, input
	word := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n')
		word <- line
		// What the first process prints later is of no interest, and how it ends neither.
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
		close(b.ended)
	}()
	select {
	case line := <-word:
		if line == "ready\n" {
			return nil
		}
		return fmt.Errorf("it says %q", line)
	case <-time.After(openLimit):
		return fmt.Errorf("not ready within %v", openLimit)
	}
}

// Close ends every process of the box and removes its directory.
func (b *Box) Close() error {
	b.mu.Lock()
	servers := b.servers
	b.servers = nil
	b.mu.Unlock()
	var errs []error
	for _, l := range servers {
		errs = append(errs, l.Close())
	}
	if b.first != nil {
		// One that has ended by itself needs no killing. Wait has closed the input then.
		_ = b.first.Process.Kill()
		<-b.ended
		_ = b.input.Close()
	}
	return errors.Join(append(errs, os.RemoveAll(b.Dir))...)
}

// enter prepares a command inside of the box.
func (b *Box) enter(ctx context.Context, argv ...string) *exec.Cmd {
	pid := strconv.Itoa(b.first.Process.Pid)
	args := []string{"--target", pid, "--mount", "--pid", "--root", "--wd=/", "--"}
	cmd := exec.CommandContext(ctx, "nsenter", append(args, argv...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "DIR=" + b.Dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// Run carries out a command inside of the box, as root, and returns what it prints.
func (b *Box) Run(ctx context.Context, argv ...string) (string, error) {
	cmd := b.enter(ctx, argv...)
	var problem bytes.Buffer
	cmd.Stderr = &problem
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s%s", argv[0], err, out, problem.Bytes())
	}
	return string(out), nil
}

// Serve starts a command inside of the box for each connection to a loopback address of its own,
// which it returns, with the connection as standard input and output.
func (b *Box) Serve(argv ...string) (address string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	b.mu.Lock()
	b.servers = append(b.servers, l)
	b.mu.Unlock()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if err := b.hand(conn.(*net.TCPConn), argv); err != nil {
				fmt.Fprintln(os.Stderr, "box:", err)
			}
		}
	}()
	return l.Addr().String(), nil
}

// hand gives a connection away to a new process.
func (b *Box) hand(conn *net.TCPConn, argv []string) error {
	defer conn.Close()
	file, err := conn.File()
	if err != nil {
		return err
	}
	defer file.Close()
	// Go's sockets don't block, which no server of this kind expects. The flag is that of the
	// socket, so it is the server's too.
	if err := syscall.SetNonblock(int(file.Fd()), false); err != nil {
		return err
	}
	log, err := os.OpenFile(b.Log, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := b.enter(context.Background(), argv...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = file, file, log
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		// It ends with its connection, or with the box.
		_ = cmd.Wait()
	}()
	return nil
}

// LogTail returns the end of the log.
func (b *Box) LogTail() string {
	const limit = 4 << 10
	data, err := os.ReadFile(b.Log)
	if err != nil {
		return ""
	}
	return string(data[max(0, len(data)-limit):])
}
