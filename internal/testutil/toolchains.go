package testutil

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// toolchainsPath puts on the PATH what internal/toolchains/install.sh installs in a folder of
// its own. It is read where the script keeps it.
var toolchainsPath = sync.OnceFunc(func() {
	cache, err := os.UserCacheDir() // $XDG_CACHE_HOME or $HOME/.cache
	if err != nil {
		return
	}
	bin := filepath.Join(cache, "gnomon", "toolchains", "bin")
	os.Setenv("PATH", os.Getenv("PATH")+string(os.PathListSeparator)+bin)
})

// AllToolchains says whether a toolchain that is missing makes a test fail: GNOMON_TOOLCHAINS
// is all, as it is in CI. Elsewhere such a test is skipped.
func AllToolchains() bool { return os.Getenv("GNOMON_TOOLCHAINS") == "all" }

// Tool is the path of the first of the programs, such as clang-19 and clang, that is
// installed. Without any the test is skipped, or fails: see AllToolchains. language is what
// internal/toolchains/install.sh calls it.
func Tool(t testing.TB, language string, programs ...string) string {
	t.Helper()
	toolchainsPath()
	for _, p := range programs {
		if path, err := exec.LookPath(p); err == nil {
			return path
		}
	}
	missing(t, language, strings.Join(programs, " or ")+" is not installed")
	return ""
}

// Make runs make in a folder, with targets and variables (NAME=value) as arguments. When a
// compiler that it calls is not there, the test is skipped, or fails: see AllToolchains.
// Anything else that goes wrong is a failure. A Makefile shows the first by calling the
// program that is missing (make: Error 127), or by a text that has "not installed".
func Make(t testing.TB, language, folder string, args ...string) {
	t.Helper()
	toolchainsPath()
	cmd := exec.CommandContext(t.Context(), "make", append([]string{"-s", "-C", folder}, args...)...)
	out, err := cmd.CombinedOutput()
	if err == nil {
		return
	}
	text := strings.TrimSpace(string(out))
	if strings.Contains(text, "Error 127") || strings.Contains(text, "not installed") {
		missing(t, language, text)
	}
	t.Fatalf("make in %s: %v\n%s", folder, err, text)
}

func missing(t testing.TB, language, what string) {
	t.Helper()
	text := what + ": run internal/toolchains/install.sh " + language
	if AllToolchains() {
		t.Fatal(text + " (GNOMON_TOOLCHAINS is all, so this is no reason to skip)")
	}
	t.Skip(text)
}
