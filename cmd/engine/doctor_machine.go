package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/config"
	"gnomon/engine/store"
)

// checkDataDir looks at the folder, its disk, and who has it.
func (d *doctor) checkDataDir() {
	dir := d.config.DataDir
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.ok("data_dir", "%s is made at the first start", dir)
		dir = existing(dir)
	case err != nil:
		d.fail("data_dir", err.Error(), "nothing can be kept", "let the engine's user read and write it")
		return
	case !info.IsDir():
		d.fail("data_dir", dir+" is a file", "nothing can be kept", "set data_dir to a folder")
		return
	default:
		d.checkPrivate(dir, info)
	}
	d.checkWritable(dir)
	d.checkDisk(dir)
	d.holder, d.running = store.Running(d.config.DataDir)
	switch {
	case !d.running:
		d.ok("lock", "no engine has the data directory")
	case d.holder.HTTP == "":
		d.ok("lock", "process %d has the data directory, and serves no HTTP", d.holder.PID)
	default:
		d.ok("lock", "the engine with process id %d has it, and serves %s", d.holder.PID, cli.BaseOf(d.holder))
	}
}

// existing is the nearest folder above a path that there is.
func existing(path string) string {
	path, _ = filepath.Abs(path)
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}

func (d *doctor) checkPrivate(dir string, info fs.FileInfo) {
	switch mode := info.Mode().Perm(); {
	case mode&0o022 != 0:
		d.fail("data_dir", fmt.Sprintf("%s may be written by others (%#o)", dir, mode), "DATA/cache holds machine code that is run as it is found", "chmod 700 "+dir)
	case mode&0o005 != 0:
		d.warn("data_dir", fmt.Sprintf("%s may be read by others (%#o)", dir, mode), "it holds all state and all modules, in the clear", "chmod 700 "+dir)
	default:
		d.ok("data_dir", "%s, for its owner only", dir)
	}
}

// checkWritable makes a file and removes it: permissions alone do not tell.
func (d *doctor) checkWritable(dir string) {
	f, err := os.CreateTemp(dir, ".gnomon-doctor-*")
	if err != nil {
		d.fail("data_dir", err.Error(), "nothing can be kept", "let the engine's user write it, and see that it is not mounted read-only")
		return
	}
	_ = f.Close()
	_ = os.Remove(f.Name()) // it is empty
}

// fewFiles is how many files that may still be made are too few: each generation makes dozens.
const fewFiles = 10000

func (d *doctor) checkDisk(dir string) {
	disk, err := d.disk(dir)
	if err != nil {
		d.ok("disk", "not known here: %v", err)
		return
	}
	reserve := uint64(d.config.DiskReserve)
	free := fmt.Sprintf("%s free, disk_reserve is %s", humanize.IBytes(disk.Free), humanize.IBytes(reserve))
	switch {
	case disk.Free <= reserve:
		d.fail("disk", free, "no event is taken until there is more", "make room, or keep less: projection.history, pins, previous generations")
	case disk.Free < 2*reserve:
		d.warn("disk", free, "below the reserve no more events are taken, and a candidate needs the room of a second copy", "make room in time")
	default:
		d.ok("disk", "%s", free)
	}
	if disk.All > 0 && disk.Files < fewFiles {
		d.warn("disk", fmt.Sprintf("%d more files can be made", disk.Files), "a file system without inodes is full, whatever room it has", "remove small files, or make the file system with more inodes")
	}
	if disk.Network != "" {
		d.warn("disk", "data_dir is on "+disk.Network+", a network file system", "its lock may not keep out an engine on another machine, and the process may die while its server is away", "use a local disk")
	}
	if disk.Memory {
		d.warn("disk", "data_dir is on a file system in memory", "state, snapshots and the embedded server's streams are gone when the machine, or the container, stops", "set data_dir to a disk")
	}
}

// checkSecrets looks at who else may read files with secrets.
func (d *doctor) checkSecrets() {
	c := d.config
	files := map[string]string{
		"http.token_file": c.HTTP.TokenFile, "http.tls.key": c.HTTP.TLS.Key,
		"nats.credentials": c.NATS.Credentials, "nats.nkey": c.NATS.NKey, "nats.tls.key": c.NATS.TLS.Key,
	}
	for _, t := range c.HTTP.Tokens {
		files["http.token "+t.File] = t.File
	}
	if text, err := os.ReadFile(d.path); err == nil && d.hasSecret(string(text)) {
		files["the password or token in the configuration"] = d.path
	}
	looked, well := 0, true
	for _, key := range slices.Sorted(maps.Keys(files)) {
		info, err := os.Stat(files[key])
		if files[key] == "" {
			continue
		}
		looked++
		if err != nil {
			well = false
			d.fail("secrets", fmt.Sprintf("%s: %v", key, err), "the engine does not start without it", "put the file there, and let the engine's user read it")
		} else if mode := info.Mode().Perm(); mode&0o006 != 0 {
			well = false
			d.warn("secrets", fmt.Sprintf("%s: %s may be read by everybody on the machine (%#o)", key, files[key], mode), "who has it may do what it allows", "chmod 600 "+files[key])
		}
	}
	if well {
		d.ok("secrets", "%s, none for everybody to read", cli.Numbered(looked, "file"))
	}
}

// hasSecret reports whether the configuration itself has a password or token, and not the name of
// an environment variable.
func (d *doctor) hasSecret(text string) bool {
	for key, secret := range map[string]string{"password": d.config.NATS.Password, "token": d.config.NATS.Token} {
		written := regexp.MustCompile(`(?m)^[^#\n]*\b` + key + `\s*=\s*["']` + regexp.QuoteMeta(secret) + `["']`)
		if secret != "" && written.MatchString(text) {
			return true
		}
	}
	return false
}

// What an engine takes of the system, roughly: docs/OPERATIONS.md, Limits of the system.
const (
	filesOfProcess    = 100
	filesOfGeneration = 32 // a database has 6 when it is small, and one more for each table
	memoryOfBadger    = 40 << 20
	generations       = 2 // at once, of a projection: the live one, and a candidate or a previous one
)

// checkLimits holds what the configuration may take against what there is.
func (d *doctor) checkLimits() {
	c := d.config
	need := uint64(filesOfProcess + c.HTTP.MaxConnections + len(c.Projections)*generations*filesOfGeneration)
	switch have := d.openFiles(); {
	case have == 0:
		d.ok("open files", "the limit is not known here")
	case have < need:
		d.warn("open files", fmt.Sprintf("%d at most; %s and http.max_connections = %d may need %d", have, cli.Numbered(len(c.Projections), "projection"), c.HTTP.MaxConnections, need),
			"without descriptors connections are refused, and projections stall", fmt.Sprintf("raise it: LimitNOFILE=%d in a systemd unit, ulimit -n in a shell; or lower http.max_connections", roundUp(need)))
	default:
		d.ok("open files", "%d at most, some %d may be needed", have, need)
	}
	most := memoryNeed(c)
	switch have := d.memory(); {
	case have == 0:
		d.ok("memory", "the limit is not known here; %s at most are taken by guests and caches", humanize.IBytes(most))
	case most > have:
		d.warn("memory", fmt.Sprintf("%s at most, and guests and caches may take %s", humanize.IBytes(have), humanize.IBytes(most)),
			"beyond it the system kills the process", "raise the limit, or lower projection.limits.memory and projection.checkpoint.cache")
	default:
		d.ok("memory", "%s at most, guests and caches may take %s", humanize.IBytes(have), humanize.IBytes(most))
	}
	d.ok("processors", "%d of %d are used (GOMAXPROCS)", runtime.GOMAXPROCS(0), runtime.NumCPU())
}

// roundUp is the next power of two: limits are written so.
func roundUp(n uint64) uint64 {
	up := uint64(1024)
	for up < n {
		up *= 2
	}
	return up
}

// memoryNeed is what a live generation of each projection may take, in bytes.
func memoryNeed(c *config.Config) (n uint64) {
	for _, p := range c.Projections {
		n += uint64(max(p.Partitions, 1))*uint64(p.Limits.Memory) + uint64(p.Checkpoint.Cache) + memoryOfBadger
	}
	return n
}

// memoryLimit is that of the control group, or what the machine has.
func memoryLimit() uint64 {
	limit := machineMemory()
	group, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return limit
	}
	_, path, _ := strings.Cut(strings.TrimSpace(string(group)), "0::") // version 2 has one line
	for dir := filepath.Join("/sys/fs/cgroup", path); strings.HasPrefix(dir, "/sys/fs/cgroup"); dir = filepath.Dir(dir) {
		text, _ := os.ReadFile(filepath.Join(dir, "memory.max"))
		if n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err == nil { // "max": none
			limit = min(limit, n)
		}
	}
	return limit
}

// machineMemory is what /proc/meminfo says; 0 where there is none.
func machineMemory() uint64 {
	text, _ := os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			n, _ := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return n << 10
		}
	}
	return 0
}
