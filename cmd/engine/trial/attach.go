package trial

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
	"gnomon/engine/config"
	"gnomon/engine/guest"
	"gnomon/host"
	"gnomon/sdk/js"
)

// AttachCommand is engine attach.
func AttachCommand() *cobra.Command {
	var out, dialect string
	c := &cobra.Command{
		Use:   "attach SCRIPT.js",
		Short: "Make a module of a projection in JavaScript",
		Long: `Attach makes a module of a script: QuickJS, which is in this program, with the script
attached. The module is one like any other, and needs nothing else. The script is an ES
module that exports onEvent, or upcast, which makes it an upcaster, see
docs/authoring/javascript.md; or a projection of KurrentDB, see docs/authoring/kurrentdb.md:
one that has fromAll, fromStream or fromCategory, and no export, is taken for that. It is
parsed, so that what is no JavaScript is found here, with file, line and column.
check and test take a script as it is, too.`,
		Example: "  engine attach projection.js -o build/plugins/balances.wasm\n  engine attach projection.js && engine check projection.wasm\n  engine attach --dialect kurrentdb old.js",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if out == "" {
				out = strings.TrimSuffix(args[0], filepath.Ext(args[0])) + ".wasm"
			}
			module, err := attachScript(args[0], js.Dialect(dialect))
			if err != nil {
				return err
			}
			if err := parseScript(c, args[0], module); err != nil {
				return err
			}
			if err := os.MkdirAll(filepath.Dir(out), 0o777); err != nil {
				return err
			}
			return os.WriteFile(out, module, 0o666)
		},
	}
	c.Flags().StringVarP(&out, "output", "o", "", "`MODULE` to write; default: SCRIPT.wasm")
	c.Flags().StringVar(&dialect, "dialect", "", "gnomon or kurrentdb; default: what the script looks like")
	return c
}

// isScript reports whether a file is a script rather than a module.
func isScript(path string) bool {
	return strings.HasSuffix(path, ".js") || strings.HasSuffix(path, ".mjs")
}

// readModule reads a module, or makes one of a script.
func readModule(path string) ([]byte, error) {
	if isScript(path) {
		return attachScript(path, "")
	}
	return os.ReadFile(path)
}

func attachScript(path string, dialect js.Dialect) ([]byte, error) {
	script, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return js.Attach(script, js.Options{Name: filepath.Base(path), Dialect: dialect})
}

// parseScript starts a module that was made of a script, without settings, to find what
// is no JavaScript, and what of KurrentDB's dialect is refused. A script that refuses its
// settings, or fails otherwise, may be right.
func parseScript(c *cobra.Command, path string, module []byte) error {
	h, done, err := cli.ScratchHost(c.Context())
	if err != nil {
		return err
	}
	defer done()
	limits := config.DefaultProjection().Limits
	m, err := h.Load(c.Context(), module, host.Limits{Memory: uint64(limits.Memory), Fuel: uint64(limits.Fuel)})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer m.Close(c.Context())
	in, err := m.Instantiate(c.Context(), guest.Config{Memory: uint64(limits.Memory)})
	switch {
	case err == nil:
		return in.Close(c.Context())
	case strings.Contains(err.Error(), "SyntaxError: "), strings.Contains(err.Error(), ": kurrentdb: "):
		return err
	}
	fmt.Fprintf(c.ErrOrStderr(), "note: %s, started without settings: %v\n", path, err)
	return nil
}
