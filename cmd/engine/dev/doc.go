// Package dev is engine dev: it builds, tests and loads a projection whenever its sources change, and shows its state.
package dev
