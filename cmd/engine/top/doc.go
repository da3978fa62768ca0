// Package top is engine top: all projections in the terminal, live (tcell).
package top
