// Package program has what the programs have in common that popferry starts: those that give a
// password, and those that bring an alert.
package program
