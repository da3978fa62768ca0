package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"gnomon/cmd/engine/cli"
	"gnomon/internal/scaffold"
)

func newCommand() *cobra.Command {
	var o scaffold.Options
	c := &cobra.Command{
		Use:   "new DIR --lang L",
		Short: "Begin a project: a projection in a language of your choice that builds and passes its tests",
		Long: `New makes a folder with a projection in one language, the SDK that it is built with, events and the
result that they lead to, a Makefile, and the configuration of an engine that runs it. All of it
comes from inside this program: nothing is downloaded, and nothing outside the folder is touched.
A folder that is there must be empty, but for a .git.

The projection is account-balances, the same in all languages: change it into yours.
It has the name of the folder, or that of --name: 1 to 64 of a-z, 0-9 and -, with no - in front.
Without --lang it says which languages there are, and what each needs to be installed.`,
		Example: "  engine new balances --lang go\n  engine new services/payments --lang rust --name payments",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cli.Usagef(c, "name the folder of the project, and the language with --lang; there are\n%s", languageTable())
			}
			o.Dir = args[0]
			name, err := scaffold.New(o)
			if err != nil {
				return explainNew(c, err)
			}
			l, _ := scaffold.Find(o.Language) // it was found
			fmt.Fprintf(c.OutOrStdout(), "%s: a projection in %s, which needs %s. Next:\n%s  make && make test\n  engine dev .\n", name, l.Name, l.Needs, goThere(o.Dir))
			return nil
		},
	}
	c.Flags().StringVar(&o.Language, "lang", "", "`LANGUAGE` to write it in")
	c.Flags().StringVar(&o.Name, "name", "", "name of the projection; default: that of the folder")
	return c
}

// goThere is the line of a shell that goes to a folder; empty for the one it is in.
func goThere(dir string) string {
	if filepath.Clean(dir) == "." {
		return ""
	}
	if strings.HasPrefix(dir, "-") {
		dir = "./" + dir
	}
	return "  cd " + cli.PlainWord(dir) + "\n"
}

// explainNew adds the way out to an error of a new project.
func explainNew(c *cobra.Command, err error) error {
	var unknown *scaffold.UnknownLanguageError
	var name *scaffold.NameError
	var notEmpty *scaffold.NotEmptyError
	switch {
	case errors.As(err, &unknown) && unknown.Name == "":
		return cli.Usagef(c, "--lang is missing; there are\n%s", languageTable())
	case errors.As(err, &unknown):
		return cli.Usagef(c, "%w; there are\n%s", err, languageTable())
	case errors.As(err, &name):
		hint := "give another one with --name"
		if near := name.Nearest(); near != "" {
			hint += " " + near
		}
		return cli.WithHint(err, "%s", hint)
	case errors.As(err, &notEmpty), errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		return cli.WithHint(err, "name a folder that is not there yet")
	}
	return err
}

// languageTable lists the languages with what they need, one a line.
func languageTable() string {
	var lines []string
	for _, l := range scaffold.Languages() {
		name := l.Name
		if alias := l.Alias(); alias != "" {
			name += " (" + alias + ")"
		}
		lines = append(lines, fmt.Sprintf("  %-20s needs %s", name, l.Needs))
	}
	return strings.Join(lines, "\n")
}
